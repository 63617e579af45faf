import { invalidArgument } from '#base/errors.ts';

/** What `--security-opt` says, taken apart. */
export interface SecurityOptions {
  /** Undefined: the default. */
  readonly noNewPrivileges: boolean | undefined;
  /** `unconfined`, `builtin`, or the text of a profile. Undefined: the default. */
  readonly seccomp: string | undefined;
  /** `unconfined` or a profile's name. Undefined: the default. */
  readonly appArmor: string | undefined;
  readonly labelDisabled: boolean;
  readonly systemPathsUnconfined: boolean;
}

/** Reads `key=value` options (`key:value` in its old form). Rejects with InvalidArgument. */
export function parseSecurityOptions(options: readonly string[]): SecurityOptions {
  let noNewPrivileges: boolean | undefined;
  let seccomp: string | undefined;
  let appArmor: string | undefined;
  let labelDisabled = false;
  let systemPathsUnconfined = false;
  for (const option of options) {
    const at = option.search(/[=:]/);
    const key = at < 0 ? option : option.slice(0, at);
    const value = at < 0 ? undefined : option.slice(at + 1);
    if (key === 'no-new-privileges' && (value === undefined || value === 'true' || value === 'false')) noNewPrivileges = value !== 'false';
    else if (key === 'disable' && value === undefined) labelDisabled = true;
    else if (value === undefined) throw invalidArgument(`invalid --security-opt 1: "${option}"`);
    else if (key === 'seccomp') seccomp = value;
    else if (key === 'apparmor') appArmor = value;
    else if (key === 'label') labelDisabled = labelDisabled || value === 'disable';
    else if (key === 'systempaths' && value === 'unconfined') systemPathsUnconfined = true;
    else throw invalidArgument(`invalid --security-opt 2: "${option}"`);
  }
  return { noNewPrivileges, seccomp, appArmor, labelDisabled, systemPathsUnconfined };
}

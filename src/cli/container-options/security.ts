import { readFileSync } from 'node:fs';
import { messageOf } from '#base/errors.ts';
import { problem } from '../output/problem.ts';

export interface ParsedSecurity {
  readonly options: string[];
  /** `systempaths=unconfined`: nothing in /proc is hidden or read-only. */
  readonly systemPathsUnconfined: boolean;
}

/** Reads every `--security-opt`. A seccomp profile is a file here and its contents on the wire. */
export function parseSecurityOptions(given: readonly string[]): ParsedSecurity {
  const options: string[] = [];
  let systemPathsUnconfined = false;
  for (const option of given) {
    const separator = option.includes('=') ? option.indexOf('=') : option.indexOf(':');
    const key = separator < 0 ? option : option.slice(0, separator);
    const value = separator < 0 ? '' : option.slice(separator + 1);
    if (value === '' && key !== 'no-new-privileges') throw new Error(`Invalid --security-opt: ${JSON.stringify(option)}`);
    if (key === 'systempaths' && value === 'unconfined') systemPathsUnconfined = true;
    else if (key === 'seccomp' && value !== 'unconfined' && value !== 'builtin') options.push(`seccomp=${readProfile(value)}`);
    else options.push(option);
  }
  return { options, systemPathsUnconfined };
}

function readProfile(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (err) {
    throw new Error(`opening seccomp profile (${path}) failed: ${problem(err)}`, { cause: err });
  }
  try {
    return JSON.stringify(JSON.parse(text));
  } catch (err) {
    throw new Error(`compacting json for seccomp profile (${path}) failed: ${messageOf(err)}`, { cause: err });
  }
}

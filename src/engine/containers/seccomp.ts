import { invalidArgument } from '#base/errors.ts';
import type { SeccompSpec } from '#oci/runtime-spec.ts';
import defaultProfile from './seccomp-default.json' with { type: 'json' };

/** A profile as users write it (`--security-opt seccomp=file`): rules that hold only for some architectures, capabilities or kernels. */
export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly archMap?: readonly { readonly architecture: string; readonly subArchitectures?: readonly string[] | null }[] | null;
  readonly flags?: readonly string[];
  readonly syscalls?: readonly SeccompRule[] | null;
}

interface SeccompRule {
  readonly name?: string;
  readonly names?: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly { readonly index: number; readonly value: number; readonly valueTwo?: number; readonly op: string }[] | null;
  readonly includes?: SeccompCondition;
  readonly excludes?: SeccompCondition;
}

interface SeccompCondition {
  readonly caps?: readonly string[] | null;
  readonly arches?: readonly string[] | null;
  readonly minKernel?: string;
}

/** What the conditions of a profile are tested against. */
export interface SeccompTarget {
  readonly capabilities: readonly string[];
  /** As Go names it. */
  readonly architecture: string;
  readonly kernelVersion: string;
}

const kernelArchitectures: Readonly<Record<string, string>> = {
  amd64: 'SCMP_ARCH_X86_64',
  '386': 'SCMP_ARCH_X86',
  arm64: 'SCMP_ARCH_AARCH64',
  arm: 'SCMP_ARCH_ARM',
  ppc64le: 'SCMP_ARCH_PPC64LE',
  s390x: 'SCMP_ARCH_S390X',
  riscv64: 'SCMP_ARCH_RISCV64',
  loong64: 'SCMP_ARCH_LOONGARCH64',
  mips64le: 'SCMP_ARCH_MIPSEL64',
};

/** The default filter for these capabilities. Made once for each set: nearly every container asks for the same. */
export function defaultSeccomp(target: SeccompTarget): SeccompSpec {
  const key = [target.architecture, target.kernelVersion, ...target.capabilities].join(' ');
  const known = resolved.get(key);
  if (known !== undefined) return known;
  const made = resolveSeccomp(defaultProfile as SeccompProfile, target);
  if (resolved.size >= cacheLimit) resolved.clear();
  resolved.set(key, made);
  return made;
}

const cacheLimit = 16;
const resolved = new Map<string, SeccompSpec>();

/** Reads a profile's text. Rejects with InvalidArgument. */
export function parseSeccompProfile(text: string): SeccompProfile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (err) {
    throw invalidArgument(`Decoding seccomp profile failed: ${err instanceof Error ? err.message : String(err)}`, { cause: err });
  }
  if (typeof value !== 'object' || value === null || !('defaultAction' in value) || typeof value.defaultAction !== 'string') {
    throw invalidArgument('Decoding seccomp profile failed: it must be an object with a defaultAction, such as "SCMP_ACT_ERRNO"');
  }
  const profile = value as SeccompProfile;
  const bothWays = (one: string, other: string): Error =>
    invalidArgument(`both '${one}' and '${other}' were specified in the seccomp profile, use either '${one}' or '${other}'`);
  if ((profile.architectures ?? []).length > 0 && (profile.archMap ?? []).length > 0) throw bothWays('architectures', 'archMap');
  for (const rule of profile.syscalls ?? []) {
    if (rule.name !== undefined && rule.name !== '' && (rule.names ?? []).length > 0) throw bothWays('name', 'names');
    if (typeof rule.action !== 'string') {
      throw invalidArgument(`Decoding seccomp profile failed: the rule for ${(rule.names ?? [rule.name]).join(', ')} has no action`);
    }
  }
  return profile;
}

/** Drops the rules whose conditions do not hold and turns the rest into what an OCI runtime takes. */
export function resolveSeccomp(profile: SeccompProfile, target: SeccompTarget): SeccompSpec {
  const own = kernelArchitectures[target.architecture];
  const mapped = profile.archMap?.find(entry => entry.architecture === own);
  const architectures = mapped === undefined ? profile.architectures : [mapped.architecture, ...(mapped.subArchitectures ?? [])];
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    ...(architectures === undefined ? {} : { architectures: [...architectures] }),
    ...(profile.flags === undefined ? {} : { flags: [...profile.flags] }),
    syscalls: (profile.syscalls ?? []).filter(rule => applies(rule, target)).map(toOciRule),
  };
}

function applies(rule: SeccompRule, target: SeccompTarget): boolean {
  const { includes, excludes } = rule;
  if (excludes?.arches?.includes(target.architecture) === true) return false;
  if (excludes?.caps?.some(cap => target.capabilities.includes(cap)) === true) return false;
  if (excludes?.minKernel !== undefined && isKernelAtLeast(target.kernelVersion, excludes.minKernel)) return false;
  if (
    includes?.arches !== undefined &&
    includes.arches !== null &&
    includes.arches.length > 0 &&
    !includes.arches.includes(target.architecture)
  )
    return false;
  if (includes?.caps?.some(cap => !target.capabilities.includes(cap)) === true) return false;
  return includes?.minKernel === undefined || isKernelAtLeast(target.kernelVersion, includes.minKernel);
}

function toOciRule(rule: SeccompRule): SeccompSpec['syscalls'][number] {
  return {
    names: rule.name === undefined || rule.name === '' ? [...(rule.names ?? [])] : [rule.name, ...(rule.names ?? [])],
    action: rule.action,
    ...(rule.errnoRet === undefined ? {} : { errnoRet: rule.errnoRet }),
    ...(rule.args === undefined || rule.args === null || rule.args.length === 0 ? {} : { args: rule.args.map(arg => ({ ...arg })) }),
  };
}

function isKernelAtLeast(running: string, wanted: string): boolean {
  const [runningMajor = 0, runningMinor = 0] = running.split('.').map(part => Number.parseInt(part, 10));
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split('.').map(part => Number.parseInt(part, 10));
  return runningMajor > wantedMajor || (runningMajor === wantedMajor && runningMinor >= wantedMinor);
}

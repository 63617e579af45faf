import type { RuntimeSpec, SeccompSpec } from '#oci/runtime-spec.ts';
import { readBytes } from './supervised.ts';

const annotation = 'run.oci.seccomp_bpf_data';
const remembered = 16;

/**
 * The system call filters that crun has made of seccomp profiles. Making one costs it twice as much as all the rest of a container (10 ms), and leaves
 * the result beside the container's state. Whoever asks for the same profile again hands it that result, through an annotation that it knows; of
 * the profile only what is no rule, such as its flags, stays in the spec.
 */
export class CompiledFilters {
  readonly #byProfile = new Map<string, string>();

  /** The spec with its filter, when a container with the same profile was made before. */
  withFilter(spec: RuntimeSpec): RuntimeSpec {
    const key = keyOf(spec);
    const filter = key === undefined ? undefined : this.#byProfile.get(key);
    if (filter === undefined || spec.linux.seccomp === undefined) return spec;
    const { defaultAction, flags } = spec.linux.seccomp;
    const seccomp = { defaultAction, ...(flags === undefined ? {} : { flags }), syscalls: [] };
    return { ...spec, linux: { ...spec.linux, seccomp }, annotations: { ...spec.annotations, [annotation]: filter } };
  }

  /** Called once crun has made the container: its filter is complete then, and no process of the container can reach it. */
  learn(spec: RuntimeSpec, stateDirectory: string): void {
    const key = keyOf(spec);
    if (key === undefined || this.#byProfile.has(key)) return;
    const filter = readBytes(`${stateDirectory}/seccomp.bpf`);
    // One instruction of a filter has eight bytes.
    if (filter === undefined || filter.length === 0 || filter.length % 8 !== 0) return;
    if (this.#byProfile.size >= remembered) this.#byProfile.clear();
    this.#byProfile.set(key, filter.toString('base64'));
  }
}

/** Undefined when there is nothing to remember: no profile, one whose calls another process decides about, or a filter that the operator brings along. */
function keyOf({ linux: { seccomp }, annotations }: RuntimeSpec): string | undefined {
  if (seccomp === undefined || annotations?.[annotation] !== undefined || asksOthers(seccomp)) return undefined;
  return JSON.stringify(seccomp);
}

const asksOthers = ({ defaultAction, syscalls }: SeccompSpec): boolean =>
  defaultAction === 'SCMP_ACT_NOTIFY' || syscalls.some(({ action }) => action === 'SCMP_ACT_NOTIFY');

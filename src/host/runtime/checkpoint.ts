import { failedPrecondition } from '#base/errors.ts';
import { findExecutable, type OciProgram } from './oci-program.ts';

/** Rejects with FailedPrecondition saying what a runtime lacks to save and restore processes. One that is not known is asked when it comes to it. */
export function requireCheckpoints({ kind, name, version }: OciProgram): void {
  if (kind === 'crun' && !/\+CRIU\b/.test(version)) {
    throw failedPrecondition(
      `the OCI runtime ${name} is built without CRIU: create the container with another runtime, such as --runtime runc`,
    );
  }
  if (kind === 'runc' && findExecutable('criu') === undefined) {
    throw failedPrecondition('there is no program criu on this machine, which saves and restores processes: install the package criu');
  }
}

/** The runtime says where CRIU has written the reason; that is what helps. */
export function describeCheckpointFailure(runtimeName: string, words: string, dumpLog: string): string {
  const reasons = dumpLog
    .split('\n')
    .flatMap(line => /Error \([^)]*\): (.*)$/.exec(line)?.[1] ?? [])
    .filter(reason => !/^Dumping FAILED|RLIMIT_NOFILE/.test(reason));
  const said = words.split('\n', 1)[0] ?? '';
  return reasons.length === 0
    ? `${runtimeName} did not save the container: ${said}`
    : `${runtimeName} did not save the container: ${said}: ${reasons.join('; ')}`;
}

import { EngineError, failedPrecondition, internal, kindOf, messageOf } from '#base/errors.ts';

/** Why a process could not be started, with the exit code that stands for it. */
export interface StartFailure {
  readonly error: EngineError;
  readonly exitCode: 126 | 127 | 128;
}

/**
 * Reads an exit code out of the words of a failed start, as clients do: 127 for a program that is not there, 126 for one that cannot be run, 128 for
 * everything else. The first two are the caller's mistake.
 */
export function toStartFailure(err: unknown): StartFailure {
  const words = messageOf(err);
  if (/executable file not found|no such file or directory|system cannot find the file specified/.test(words)) {
    return { error: failedPrecondition(words, { cause: err }), exitCode: 127 };
  }
  if (/permission denied|is a directory|exec format error/.test(words))
    return { error: failedPrecondition(words, { cause: err }), exitCode: 126 };
  if (/OCI runtime.*not a directory/.test(words)) {
    const hint =
      'Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type';
    return { error: failedPrecondition(`${words}: ${hint}`, { cause: err }), exitCode: 127 };
  }
  const kind = kindOf(err);
  // The runtime's other refusals are nobody's bad request.
  if (kind === 'FailedPrecondition' && words.includes('OCI runtime')) return { error: internal(words, { cause: err }), exitCode: 128 };
  return { error: err instanceof EngineError ? err : new EngineError(kind, words, { cause: err }), exitCode: 128 };
}

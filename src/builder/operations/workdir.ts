import type { WorkdirOperation } from '../dockerfile/operations.ts';
import type { PreparedWork } from '../solver/perform.ts';
import type { BuildSession } from '../solver/session.ts';

/** `WORKDIR` makes its directory where it is missing. */
export function prepareWorkdir(session: BuildSession, operation: WorkdirOperation): PreparedWork {
  const { files, steps } = session.context;
  return {
    identity: { workdir: operation.path, user: operation.user },
    description: operation.title,
    isLinked: false,
    isProcess: false,
    async perform({ rootPath }, _tell, signal) {
      if (files.kindOf(rootPath, operation.path) === 'directory') return;
      const owner = operation.user === '' ? undefined : steps.owner(rootPath, operation.user);
      await files.makeDirectory({ root: rootPath, path: operation.path, owner, mode: undefined }, signal);
    },
  };
}

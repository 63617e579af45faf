import { chmodSync, chownSync, closeSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { failedPrecondition } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { type IdMap, rootOwner } from '#core/id-map.ts';
import { machineAccounts, resolveRemapping } from '#host/machine/subordinate-ids.ts';
import { holdUserNamespace } from '#host/sys/user-namespace.ts';
import type { DaemonOptions } from './daemon-options.ts';

/** How the ids of containers are mapped, and a descriptor of a user namespace that maps so. */
export interface DaemonIdMap extends Disposable {
  readonly map: IdMap;
  readonly namespaceFd: number;
}

/**
 * With user namespaces the daemon keeps everything in roots of their own, named by the ids of root in the containers: what was made with one mapping is
 * never read with another.
 */
export function remappedOptions(
  options: DaemonOptions,
  log: Logger,
): { readonly options: DaemonOptions; readonly idMap: IdMap | undefined } {
  if (options.usernsRemap === undefined) return { options, idMap: undefined };
  const remapping = resolveRemapping(options.usernsRemap, machineAccounts);
  if (remapping === undefined) {
    log.warn('root cannot be remapped to itself: there are no user namespaces');
    return { options, idMap: undefined };
  }
  const { user, group, idMap } = remapping;
  log.info('containers get the subordinate ids of an account', { user, group });
  const { uid, gid } = rootOwner(idMap);
  const own = (root: string): string => join(root, `${String(uid)}.${String(gid)}`);
  const roots = { dataRoot: own(options.dataRoot), execRoot: own(options.execRoot) };
  for (const directory of [options.dataRoot, options.execRoot, roots.dataRoot, roots.execRoot]) openToRootOf(idMap, directory);
  for (const root of [options.dataRoot, options.execRoot]) refuseBarred(idMap, root);
  return { options: { ...options, ...roots }, idMap };
}

/** Root of the containers passes through on the way to its own files. */
function openToRootOf(idMap: IdMap, directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o710 });
  chownSync(directory, 0, rootOwner(idMap).gid);
  chmodSync(directory, 0o710);
}

function refuseBarred(idMap: IdMap, root: string): void {
  const { uid, gid } = rootOwner(idMap);
  for (let directory = dirname(root); ; directory = dirname(directory)) {
    const stats = statSync(directory);
    const bit = stats.uid === uid ? 0o100 : stats.gid === gid ? 0o010 : 0o001;
    if ((stats.mode & bit) === 0) {
      throw failedPrecondition(
        `a subdirectory in your graphroot path (${root}) restricts access to the remapped root uid/gid; please fix by allowing 'o+x' permissions on existing directories: ${directory}`,
      );
    }
    if (directory === '/') return;
  }
}

export async function openIdMap(map: IdMap): Promise<DaemonIdMap> {
  using holder = await holdUserNamespace({ idMap: map }, { network: false });
  const namespaceFd = openSync(`/proc/${String(holder.pid)}/ns/user`, 'r');
  return { map, namespaceFd, [Symbol.dispose]: () => closeSync(namespaceFd) };
}

/** A run of ids in a user namespace and the ids of the host that stand behind them (user_namespaces(7)). */
export interface IdRange {
  readonly containerId: number;
  readonly hostId: number;
  readonly size: number;
}

/** How the users and groups of containers are mapped to those of the host. */
export interface IdMap {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

/** The user namespace of a container: one of its own with this map, or one that is there already. */
export interface UserNamespace {
  readonly idMap: IdMap;
  readonly path?: string;
}

/** Somebody who owns files. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** What the kernel shows for an id that a namespace does not know. */
const overflowId = 65_534;

/** The id of the host behind one of a container; undefined when it is not mapped. */
export function toHostId(ranges: readonly IdRange[], id: number): number | undefined {
  const range = ranges.find(({ containerId, size }) => id >= containerId && id < containerId + size);
  return range === undefined ? undefined : range.hostId + (id - range.containerId);
}

/** What a container sees for an id of the host: `nobody` for one that it does not have. */
export function toContainerId(ranges: readonly IdRange[], id: number): number {
  const range = ranges.find(({ hostId, size }) => id >= hostId && id < hostId + size);
  return range === undefined ? overflowId : range.containerId + (id - range.hostId);
}

/** Who owns, on the host, what an owner inside owns. Without a map they are the same. */
export const hostOwner = (map: IdMap | undefined, { uid, gid }: Owner): Owner =>
  map === undefined ? { uid, gid } : { uid: toHostId(map.uids, uid) ?? overflowId, gid: toHostId(map.gids, gid) ?? overflowId };

/** The opposite of `hostOwner`. */
export const containerOwner = (map: IdMap | undefined, { uid, gid }: Owner): Owner =>
  map === undefined ? { uid, gid } : { uid: toContainerId(map.uids, uid), gid: toContainerId(map.gids, gid) };

/** Who is root inside. */
export const rootOwner = (map: IdMap | undefined): Owner => hostOwner(map, { uid: 0, gid: 0 });

import { invalidArgument } from '#base/errors.ts';
import { containerOwner, hostOwner, type IdMap, type IdRange, type Owner, rootOwner, toContainerId, toHostId } from '#core/id-map.ts';

/** Says in other words who owns a file, also where its attributes name somebody. */
export interface OwnerTranslation {
  owner(owner: Owner): Owner;
  attribute(name: string, value: Uint8Array): Uint8Array;
}

const unchanged: OwnerTranslation = { owner: owner => owner, attribute: (_name, value) => value };

/** From owners of the host to those that a container sees. */
export function inward(map: IdMap | undefined): OwnerTranslation {
  if (map === undefined) return unchanged;
  return {
    owner: owner => containerOwner(map, owner),
    attribute(name, value) {
      if (name === capabilities) return dropRoot(value, rootOwner(map).uid);
      return isAccessList(name) ? mapAccessList(value, map, toContainerId) : value;
    },
  };
}

/** The opposite of `inward`. What has no id on the host belongs to nobody there. */
export function outward(map: IdMap | undefined): OwnerTranslation {
  if (map === undefined) return unchanged;
  return {
    owner: owner => hostOwner(map, owner),
    attribute(name, value) {
      if (name === capabilities) return nameRoot(value, rootOwner(map).uid);
      return isAccessList(name) ? mapAccessList(value, map, (ranges, id) => toHostId(ranges, id) ?? noId) : value;
    },
  };
}

/** Like `outward`, for somebody's own choice of owners. Throws InvalidArgument for one without an id on the host. */
export function strictlyOutward(map: IdMap | undefined): OwnerTranslation {
  if (map === undefined) return unchanged;
  return {
    ...outward(map),
    owner(owner) {
      for (const [ranges, id] of [
        [map.uids, owner.uid],
        [map.gids, owner.gid],
      ] as const) {
        if (toHostId(ranges, id) === undefined) throw invalidArgument(`Container ID ${String(id)} cannot be mapped to a host ID`);
      }
      return hostOwner(map, owner);
    },
  };
}

const capabilities = 'security.capability';
// struct vfs_cap_data: revision and flags, four words; version 3 adds whose root they are good for (capabilities(7)).
const revision2 = 0x02000000;
const revision3 = 0x03000000;
const version2Bytes = 20;
const version3Bytes = 24;

const revisionOf = (value: Uint8Array): number =>
  value.length < 4 ? 0 : new DataView(value.buffer, value.byteOffset).getUint32(0, true) & 0xff000000;

/** Capabilities of a file that say nothing of a user namespace hold in the first one only. */
function nameRoot(value: Uint8Array, root: number): Uint8Array {
  if (value.length !== version2Bytes || revisionOf(value) !== revision2) return value;
  const mapped = new Uint8Array(version3Bytes);
  mapped.set(value);
  const view = new DataView(mapped.buffer);
  view.setUint32(0, revision3 | (view.getUint32(0, true) & 0xffffff), true);
  view.setUint32(version2Bytes, root, true);
  return mapped;
}

function dropRoot(value: Uint8Array, root: number): Uint8Array {
  if (value.length !== version3Bytes || revisionOf(value) !== revision3) return value;
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (view.getUint32(version2Bytes, true) !== root) return value;
  const mapped = value.slice(0, version2Bytes);
  new DataView(mapped.buffer).setUint32(0, revision2 | (view.getUint32(0, true) & 0xffffff), true);
  return mapped;
}

const isAccessList = (name: string): boolean => name === 'system.posix_acl_access' || name === 'system.posix_acl_default';
// struct posix_acl_xattr_header: a version (4 bytes); then entries of tag (2), permissions (2) and id (4) each (linux/posix_acl_xattr.h).
const listHeaderBytes = 4;
const listEntryBytes = 8;
const userTag = 0x02;
const groupTag = 0x08;
const noId = 65_534;

function mapAccessList(value: Uint8Array, map: IdMap, translate: (ranges: readonly IdRange[], id: number) => number): Uint8Array {
  const mapped = value.slice();
  const view = new DataView(mapped.buffer);
  for (let at = listHeaderBytes; at + listEntryBytes <= mapped.length; at += listEntryBytes) {
    const tag = view.getUint16(at, true);
    if (tag !== userTag && tag !== groupTag) continue;
    view.setUint32(at + 4, translate(tag === userTag ? map.uids : map.gids, view.getUint32(at + 4, true)), true);
  }
  return mapped;
}

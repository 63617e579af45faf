import { describe, expect, test } from 'bun:test';
import { containerOwner, hostOwner, type IdMap, rootOwner, toContainerId, toHostId } from './id-map.ts';

const map: IdMap = {
  uids: [
    { containerId: 0, hostId: 200_000, size: 100 },
    { containerId: 100, hostId: 5_000, size: 10 },
  ],
  gids: [{ containerId: 0, hostId: 300_000, size: 100 }],
};

describe('ids of containers and of the host', () => {
  test('map both ways, over several ranges', () => {
    expect([0, 99, 100, 109].map(id => toHostId(map.uids, id))).toEqual([200_000, 200_099, 5_000, 5_009]);
    expect([200_000, 200_099, 5_000, 5_009].map(id => toContainerId(map.uids, id))).toEqual([0, 99, 100, 109]);
  });

  test('what is not mapped is nobody', () => {
    expect(toHostId(map.uids, 110)).toBeUndefined();
    expect([0, 199_999, 200_100, 5_010].map(id => toContainerId(map.uids, id))).toEqual([65_534, 65_534, 65_534, 65_534]);
    expect(hostOwner(map, { uid: 1000, gid: 1 })).toEqual({ uid: 65_534, gid: 300_001 });
  });

  test('without a map nothing changes', () => {
    expect(hostOwner(undefined, { uid: 7, gid: 8 })).toEqual({ uid: 7, gid: 8 });
    expect(containerOwner(undefined, { uid: 7, gid: 8 })).toEqual({ uid: 7, gid: 8 });
    expect([rootOwner(undefined), rootOwner(map)]).toEqual([
      { uid: 0, gid: 0 },
      { uid: 200_000, gid: 300_000 },
    ]);
  });
});

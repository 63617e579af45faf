import { describe, expect, test } from 'bun:test';
import { kindOf } from '#base/errors.ts';
import type { IdMap } from '#core/id-map.ts';
import { inward, outward, strictlyOutward } from './owner-translation.ts';

const map: IdMap = {
  uids: [{ containerId: 0, hostId: 200_000, size: 100 }],
  gids: [{ containerId: 0, hostId: 300_000, size: 100 }],
};
const bytes = (...words: number[]): Uint8Array => new Uint8Array(new Uint32Array(words).buffer);
const entry = (tag: number, id: number): number[] => [tag | (7 << 16), id];

describe('owners in other words', () => {
  test('there and back again', () => {
    expect(outward(map).owner({ uid: 7, gid: 8 })).toEqual({ uid: 200_007, gid: 300_008 });
    expect(inward(map).owner({ uid: 200_007, gid: 300_008 })).toEqual({ uid: 7, gid: 8 });
  });

  test('who has no id on the host is nobody there, or refused', () => {
    expect(outward(map).owner({ uid: 7, gid: 1000 })).toEqual({ uid: 200_007, gid: 65_534 });
    try {
      strictlyOutward(map).owner({ uid: 7, gid: 1000 });
      expect.unreachable();
    } catch (err) {
      expect([kindOf(err), String(err)]).toEqual(['InvalidArgument', expect.stringContaining('Container ID 1000 cannot be mapped')]);
    }
  });

  test('file capabilities are those of the root inside', () => {
    const first = bytes(0x02000001, 1, 2, 3, 4);
    const mapped = bytes(0x03000001, 1, 2, 3, 4, 200_000);
    expect(outward(map).attribute('security.capability', first)).toEqual(mapped);
    expect(inward(map).attribute('security.capability', mapped)).toEqual(first);
    const ofOthers = bytes(0x03000001, 1, 2, 3, 4, 999);
    expect(inward(map).attribute('security.capability', ofOthers)).toEqual(ofOthers);
    expect(outward(map).attribute('security.capability', ofOthers)).toEqual(ofOthers);
  });

  test('access lists name users and groups', () => {
    const inside = bytes(2, ...entry(1, 0xffffffff), ...entry(2, 5), ...entry(8, 6), ...entry(0x20, 0xffffffff));
    const outside = bytes(2, ...entry(1, 0xffffffff), ...entry(2, 200_005), ...entry(8, 300_006), ...entry(0x20, 0xffffffff));
    expect(outward(map).attribute('system.posix_acl_access', inside)).toEqual(outside);
    expect(inward(map).attribute('system.posix_acl_default', outside)).toEqual(inside);
    expect(outward(map).attribute('user.note', inside)).toBe(inside);
  });

  test('without a map nothing changes', () => {
    for (const same of [inward(undefined), outward(undefined), strictlyOutward(undefined)]) {
      expect(same.owner({ uid: 70_000, gid: 8 })).toEqual({ uid: 70_000, gid: 8 });
    }
  });
});

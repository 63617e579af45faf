import { describe, expect, test } from 'bun:test';
import { resolveUser } from './user.ts';

const files: Readonly<Record<string, string>> = {
  '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:Web:/srv/web:/bin/sh\n# none\nbroken:line\nhomeless:x:7:7::\n',
  '/etc/group': 'root:x:0:\nwww:x:44:\nlogs:x:50:web,other\ndisk:x:6:web\n',
};
const read = (path: string): string | undefined => files[path];
const user = (spec: string, groups: string[] = []) => resolveUser(spec, groups, read);

describe('resolveUser()', () => {
  test('nobody named is root', () => {
    expect(user('')).toEqual({ uid: 0, gid: 0, additionalGids: [0], home: '/root' });
    expect(resolveUser('', [], () => undefined)).toEqual({ uid: 0, gid: 0, additionalGids: [0], home: '/' });
  });

  test('by name: own group, the groups that list it, home', () => {
    expect(user('web')).toEqual({ uid: 33, gid: 44, additionalGids: [44, 50, 6], home: '/srv/web' });
    expect(user('homeless').home).toBe('/');
  });

  test('by number, listed or not', () => {
    expect(user('33')).toEqual({ uid: 33, gid: 44, additionalGids: [44, 50, 6], home: '/srv/web' });
    expect(user('1234')).toEqual({ uid: 1234, gid: 0, additionalGids: [0], home: '/' });
  });

  test('a group that is named replaces the user’s own and those that list it', () => {
    expect(user('web:logs')).toMatchObject({ gid: 50, additionalGids: [50] });
    expect(user('web:77')).toMatchObject({ gid: 77, additionalGids: [77] });
    expect(user(':logs')).toMatchObject({ uid: 0, gid: 50 });
  });

  test('more groups, by name and number, each once', () => {
    expect(user('web', ['logs', '99', '99'])).toMatchObject({ additionalGids: [44, 50, 6, 99] });
  });

  test('who or what is not there', () => {
    expect(() => user('nobody')).toThrow('unable to find user nobody: no matching entries in passwd file');
    expect(() => user('web:nogroup')).toThrow('unable to find group nogroup: no matching entries in group file');
    expect(() => user('web', ['nogroup'])).toThrow('unable to find group nogroup');
    expect(() => user('2147483648')).toThrow('uids and gids must be in range 0-2147483647');
  });
});

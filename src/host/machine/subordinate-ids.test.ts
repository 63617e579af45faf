import { describe, expect, test } from 'bun:test';
import { type Accounts, resolveRemapping } from './subordinate-ids.ts';

const users = [
  ['root', '0'],
  ['keeper', '990'],
  ['lonely', '991'],
];

function someAccounts(subuid: string, subgid = subuid): Accounts & { readonly added: string[] } {
  const files = { subuid, subgid };
  const added: string[] = [];
  return {
    added,
    find: (_database, key) => {
      const found = users.find(user => user.includes(key));
      return found?.[0] === undefined ? (added.includes(key) ? { name: key } : undefined) : { name: found[0] };
    },
    add: name => void added.push(name),
    ranges: file => files[file],
    addRange(name, first, size) {
      files.subuid += `${name}:${String(first)}:${String(size)}\n`;
      files.subgid += `${name}:${String(first)}:${String(size)}\n`;
    },
  };
}

describe('resolveRemapping()', () => {
  const accounts = someAccounts('# who has what\nkeeper:300000:10\nother:1:1\nkeeper:200000:65536\n', 'keeper:400000:65536\n');

  test('finds users by name and number; ranges follow each other in the container', () => {
    const found = {
      user: 'keeper',
      group: 'keeper',
      idMap: {
        uids: [
          { containerId: 0, hostId: 200_000, size: 65_536 },
          { containerId: 65_536, hostId: 300_000, size: 10 },
        ],
        gids: [{ containerId: 0, hostId: 400_000, size: 65_536 }],
      },
    };
    for (const text of ['keeper', '990', 'keeper:990', '990:keeper']) expect(resolveRemapping(text, accounts)).toEqual(found);
    expect(resolveRemapping('keeper:lonely', accounts)).toEqual({ ...found, group: 'lonely' });
  });

  test('root is not remapped', () => expect(resolveRemapping('root', accounts)).toBeUndefined());

  test('default makes its account and gives it a range that is free', () => {
    const fresh = someAccounts('keeper:100000:65536\nother:300000:65536\n');
    const range = [{ containerId: 0, hostId: 365_536, size: 65_536 }];
    expect(resolveRemapping('default', fresh)).toEqual({ user: 'dockremap', group: 'dockremap', idMap: { uids: range, gids: range } });
    expect(fresh.added).toEqual(['dockremap']);
    expect(resolveRemapping('default', fresh)?.idMap.uids).toEqual(range);
    expect(fresh.added).toEqual(['dockremap']);
  });

  test.each([
    ['a:b:c', 'Invalid user/group specification in --userns-remap: "a:b:c"'],
    ['nobody-here', 'Error during uid lookup for "nobody-here": getent unable to find entry "nobody-here" in passwd database'],
    ['4242', 'Uid 4242 has no entry in /etc/passwd: getent unable to find entry "4242" in passwd database'],
    ['keeper:nosuch', 'Error during groupname lookup for "nosuch": getent unable to find entry "nosuch" in group database'],
    ['keeper:4242', 'Gid 4242 has no entry in /etc/passwd: getent unable to find entry "4242" in group database'],
    ['lonely', 'Can\'t create ID mappings: no subuid ranges found for user "lonely"'],
  ])('%s is refused', (text, message) => expect(() => resolveRemapping(text, accounts)).toThrow(message));
});

import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { Channel } from '#base/channel.ts';
import { messageOf } from '#base/errors.ts';
import { type Packet, packetType, type Stat } from '#api/buildkit/messages.ts';
import type { CallMetadata, ClientSession } from './client-session.ts';
import { codec } from './codec.ts';
import { receiveDirectory } from './receive-directory.ts';

const packets = codec<Packet>('fsutil.types.Packet', { longs: String });
const [directory, symlink] = [2 ** 31, 2 ** 27];
let root = '';
beforeEach(() => void (root = mkdtempSync('/tmp/berth-receive-')));
afterEach(() => rmSync(root, { recursive: true }));

interface Entry extends Partial<Stat> {
  readonly path: string;
  readonly content?: string;
}

/** A client that offers these, in this order, and answers what it is asked. */
function client(entries: readonly Entry[], seen: CallMetadata[] = []): Pick<ClientSession, 'call'> {
  return {
    call(_method, metadata) {
      seen.push(metadata);
      const out = new Channel<Buffer>(1000);
      const say = (packet: Partial<Packet>): void => void out.push(packets.encode(packet));
      for (const { content, ...stat } of entries)
        say({
          type: packetType.stat,
          stat: { modTime: '1600000000123456789', mode: 0o644, size: content?.length ?? 0, xattrs: {}, ...stat } as Stat,
        });
      say({ type: packetType.stat });
      const hear = (message: Uint8Array): void => {
        const { type, ID } = packets.decode(message);
        if (type === packetType.request) {
          const content = entries[ID]?.content ?? '';
          if (content !== '') say({ type: packetType.data, ID, data: new TextEncoder().encode(content) });
          say({ type: packetType.data, ID });
        }
        if (type === packetType.end) say({ type: packetType.end });
      };
      return {
        send: message => Promise.resolve(hear(message)),
        end(last) {
          if (last !== undefined) hear(last);
          out.end();
        },
        messages: out,
      };
    },
  };
}

const receive = async (entries: readonly Entry[]): Promise<string> => {
  try {
    await receiveDirectory(client(entries), { directory: 'context' }, root, () => undefined, new AbortController().signal);
    return 'received';
  } catch (err) {
    return messageOf(err);
  }
};

test('files, links and directories come with their modes and times', async () => {
  const outcome = await receive([
    { path: 'a', content: 'text' },
    { path: 'd', mode: directory + 0o750 },
    { path: 'd/empty', mode: 0o600, content: '' },
    { path: 'd/link', mode: symlink + 0o777, linkname: '../a' },
    { path: 'd/same', linkname: 'a' },
    { path: 'e', mode: 2 ** 23 + 0o755, content: 'x' },
  ]);
  expect(outcome).toBe('received');
  expect(readFileSync(join(root, 'a'), 'utf8')).toBe('text');
  expect(lstatSync(join(root, 'a')).mtimeMs).toBeCloseTo(1_600_000_000_123, 0);
  expect((lstatSync(join(root, 'd')).mode & 0o7777).toString(8)).toBe('750');
  expect(readdirSync(join(root, 'd'))).toEqual(['empty', 'link', 'same']);
  expect(readlinkSync(join(root, 'd/link'))).toBe('../a');
  expect(lstatSync(join(root, 'd/same')).ino).toBe(lstatSync(join(root, 'a')).ino);
  expect((lstatSync(join(root, 'e')).mode & 0o7777).toString(8)).toBe('4755');
});

test.each<[what: string, entries: readonly Entry[]]>([
  ['climbs out', [{ path: '../outside', content: 'x' }]],
  ['is absolute', [{ path: '/etc/outside', content: 'x' }]],
  [
    'goes through a link',
    [
      { path: 'l', mode: symlink, linkname: '/tmp' },
      { path: 'l/outside', content: 'x' },
    ],
  ],
  ['is below a directory that was not sent', [{ path: 'd/x', content: 'x' }]],
  [
    'comes twice',
    [
      { path: 'a', content: 'x' },
      { path: 'a', content: 'y' },
    ],
  ],
  [
    'puts a link where a file is',
    [
      { path: 'a', content: 'x' },
      { path: 'a', mode: symlink, linkname: '/etc/passwd' },
    ],
  ],
  [
    'has a dot',
    [
      { path: 'd', mode: directory },
      { path: 'd/..', content: 'x' },
    ],
  ],
])('a path that %s is refused', async (_what, entries) => {
  expect(await receive(entries)).toContain('it is no new path in a directory that was sent before');
});

test('a hard link to what was not sent is refused', async () => {
  expect(await receive([{ path: 'a', linkname: '../../etc/shadow' }])).toContain('which did not come before it');
});

test('patterns travel in metadata, encoded where headers cannot carry them', async () => {
  const seen: CallMetadata[] = [];
  const wanted = { directory: 'context', follow: ['a', 'b/c'], exclude: ['größe', '*.o'] };
  await receiveDirectory(client([], seen), wanted, root, () => undefined, new AbortController().signal);
  expect(seen).toEqual([
    {
      'dir-name': 'context',
      followpaths: ['a', 'b/c'],
      'exclude-patterns': ['gr%C3%B6%C3%9Fe', '*.o'],
      'exclude-patterns-encoded': '1',
    },
  ]);
});

/** Receives into the directory again. Returns how many bytes came, and what was known afterwards. */
async function again(entries: readonly Entry[], known: Map<string, string>): Promise<{ readonly bytes: number; readonly changes: number }> {
  let changes = 0;
  const former = { known, onChange: () => void (changes += 1) };
  const signal = new AbortController().signal;
  const { bytes } = await receiveDirectory(client(entries), { directory: 'context' }, root, () => undefined, signal, { former });
  return { bytes, changes };
}

const tree = (): string[] => (readdirSync(root, { recursive: true }) as string[]).sort();

test('into a directory with files of an earlier transfer comes only what has changed', async () => {
  const known = new Map<string, string>();
  const first = [
    { path: 'a', content: 'text' },
    { path: 'd', mode: directory + 0o750 },
    { path: 'd/b', content: 'more' },
    { path: 'd/c', linkname: 'a' },
    { path: 'gone', mode: directory + 0o755 },
    { path: 'gone/x', content: 'x' },
  ];
  expect(await again(first, known)).toEqual({ bytes: 9, changes: 1 });
  expect(await again(first, known)).toEqual({ bytes: 0, changes: 0 });
  const second = [
    { path: 'a', content: 'other', modTime: '1600000001000000000' },
    ...first.slice(1, 4),
    { path: 'd/new', mode: symlink + 0o777, linkname: 'b' },
  ];
  expect(await again(second, known)).toEqual({ bytes: 5, changes: 1 });
  expect(tree()).toEqual(['a', 'd', 'd/b', 'd/c', 'd/new']);
  expect(readFileSync(join(root, 'd/c'), 'utf8')).toBe('other');
  expect(lstatSync(join(root, 'd')).mtimeMs).toBeCloseTo(1_600_000_000_123, 0);
  expect(await again(second, known)).toEqual({ bytes: 0, changes: 0 });
});

test('a directory that has become a link is not followed when what was in it goes', async () => {
  const outside = mkdtempSync('/tmp/berth-receive-outside-');
  writeFileSync(join(outside, 'x'), 'mine');
  try {
    const known = new Map<string, string>();
    await again(
      [
        { path: 'd', mode: directory + 0o755 },
        { path: 'd/x', content: 'x' },
      ],
      known,
    );
    await again([{ path: 'd', mode: symlink + 0o777, linkname: outside }], known);
    expect(readlinkSync(join(root, 'd'))).toBe(outside);
    expect(readFileSync(join(outside, 'x'), 'utf8')).toBe('mine');
    await again(
      [
        { path: 'd', mode: directory + 0o755 },
        { path: 'd/x', content: 'xx' },
      ],
      known,
    );
    expect(readFileSync(join(outside, 'x'), 'utf8')).toBe('mine');
    expect(readFileSync(join(root, 'd/x'), 'utf8')).toBe('xx');
  } finally {
    rmSync(outside, { recursive: true });
  }
});

test('what a transfer that broke off has left counts for nothing, and goes', async () => {
  const known = new Map<string, string>();
  const broken = [
    { path: 'a', content: 'text' },
    { path: 'd', mode: directory + 0o755 },
    { path: 'd/b', content: 'more' },
    { path: '../evil', content: 'x' },
  ];
  expect(await again(broken, known).catch(messageOf)).toContain('it is no new path');
  expect(await again([{ path: 'c', content: 'c' }], known)).toEqual({ bytes: 1, changes: 1 });
  expect(tree()).toEqual(['c']);
});

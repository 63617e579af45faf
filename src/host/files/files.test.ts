import { afterEach, beforeEach, expect } from 'bun:test';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kindOf, messageOf } from '#base/errors.ts';
import type { ExtractOptions, FilesSession, FilesView, ViewMount } from '#core/files.ts';
import { atCwd, closeFd, getXattr, makeNode, openDirectory, setXattr } from '#host/sys/fs.ts';
import { readMounts } from '#host/sys/mountinfo.ts';
import type { TarEntry } from '#oci/tar/entry.ts';
import { readAll, readTar } from '#oci/tar/reader.ts';
import { type NewTarFile, writeTar } from '#oci/tar/writer.ts';
import { needs } from '#test/helpers/needs.ts';
import { createContainerFiles } from './files.ts';

const never = new AbortController().signal;
const { describe: describeAsRoot, test } = needs('root');
const asArchive: ExtractOptions = { keepsKinds: true, owner: undefined, readOnlyRoot: false, mounts: [] };

let folder: string;
let root: string;
let outside: string;
let processes: Bun.Subprocess[];
const files = createContainerFiles({ pidsOf: () => Promise.resolve(processes.map(each => each.pid)) });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'berth-files-'));
  [root, outside] = [join(folder, 'root'), join(folder, 'outside')];
  processes = [];
  mkdirSync(root);
  mkdirSync(outside);
  writeFileSync(join(outside, 'secret'), 'secret');
});
afterEach(async () => {
  for (const each of processes) {
    each.kill('SIGKILL');
    await each.exited;
  }
  expect(readMounts().filter(({ target }) => target.startsWith(folder))).toEqual([]);
  rmSync(folder, { recursive: true, force: true });
});

async function inside<T>(work: (session: FilesSession) => Promise<T>, view: FilesView = stopped()): Promise<T> {
  await using session = await files.enter(view, never);
  return await work(session);
}

const stopped = (...mounts: ViewMount[]): FilesView => ({ kind: 'stopped', root, mounts });
const refusal = async (work: Promise<unknown>): Promise<string> =>
  await work.then(
    () => 'nothing',
    (err: unknown) => `${kindOf(err)}: ${messageOf(err)}`,
  );

async function membersOf(tar: AsyncIterable<Uint8Array>): Promise<Map<string, TarEntry & { readonly text: string }>> {
  const members = new Map<string, TarEntry & { readonly text: string }>();
  for await (const { entry, content } of readTar(tar)) {
    members.set(entry.name, { ...entry, text: Buffer.from(await readAll(content)).toString() });
  }
  return members;
}

const archive = (path: string, view?: FilesView) => inside(async session => await membersOf((await session.archive(path)).tar), view);
const put = (path: string, members: readonly NewTarFile[], options: Partial<ExtractOptions> = {}, view?: FilesView): Promise<void> =>
  inside(session => session.extract(path, { ...asArchive, ...options }, writeTar(members)), view);
const text = (content: string): Uint8Array => new TextEncoder().encode(content);

describeAsRoot('stat()', () => {
  test('tells what a path is, and where a link leads in the end', async () => {
    mkdirSync(join(root, 'dir'));
    chmodSync(join(root, 'dir'), 0o1750);
    symlinkSync('dir', join(root, 'one'));
    symlinkSync('../one/../gone/./x', join(root, 'dir/two'));
    expect(await inside(session => session.stat('/dir'))).toMatchObject({ name: 'dir', type: 'directory', mode: 0o1750, linkTarget: '' });
    expect(await inside(session => session.stat('/dir/two'))).toMatchObject({ name: 'two', type: 'symlink', linkTarget: '/gone/x' });
    expect(await inside(session => session.stat('one/'))).toMatchObject({ name: 'one', type: 'directory' });
    expect(await inside(session => session.stat('/one/.'))).toMatchObject({ name: '.', type: 'directory' });
    expect(await inside(session => session.stat('/'))).toMatchObject({ name: '/', type: 'directory' });
  });

  test('what is not there, or is no directory on the way', async () => {
    writeFileSync(join(root, 'file'), '');
    expect(await refusal(inside(session => session.stat('/nosuch')))).toBe('NotFound: /nosuch: no such file or directory');
    expect(await refusal(inside(session => session.stat('/file/')))).toBe('InvalidArgument: /file/: not a directory');
    symlinkSync('loop', join(root, 'loop'));
    expect(await refusal(inside(session => session.stat('/loop/x')))).toBe('InvalidArgument: /loop/x: too many levels of symbolic links');
  });

  test('no link and no .. leads out', async () => {
    symlinkSync(outside, join(root, 'absolute'));
    symlinkSync(`../../../../../..${outside}`, join(root, 'climbing'));
    for (const path of [
      '/absolute/secret',
      '/climbing/secret',
      `/../../../..${outside}/secret`,
      '/proc/1/root/etc/passwd',
      '/proc/self/cwd/secret',
    ]) {
      expect(await refusal(inside(session => session.stat(path)))).toStartWith('NotFound');
    }
  });

  test('a process in the view of another sees what that has mounted, but not the files that the kernel makes up', async () => {
    mkdirSync(join(root, 'mnt'));
    const script = `mount -t tmpfs none ${root}/mnt && echo here > ${root}/mnt/file && echo ready && exec sleep 1000`;
    const child = Bun.spawn(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script], { stdout: 'pipe' });
    processes.push(child);
    await child.stdout.getReader().read();
    const view: FilesView = { kind: 'running', containerId: 'x', pid: child.pid };
    expect((await archive(`${root}/mnt/file`, view)).get('file')?.text).toBe('here\n');
    expect(existsSync(join(root, 'mnt/file'))).toBe(false);
    expect(await refusal(inside(session => session.stat('/proc/self/status'), view))).toStartWith('NotFound');
    expect(await refusal(inside(session => session.stat('/proc/1/root/etc'), view))).toStartWith('NotFound');
    expect([...(await archive('/proc', view)).keys()]).toEqual(['proc']);
  });

  test('a process that is not one of the container is not looked into', async () => {
    const view: FilesView = { kind: 'running', containerId: 'x', pid: process.pid };
    expect(await refusal(files.enter(view, never))).toBe('FailedPrecondition: container x does not run any more');
    const gone = Bun.spawn(['true']);
    await gone.exited;
    expect(await refusal(files.enter({ ...view, pid: gone.pid }, never))).toStartWith('FailedPrecondition');
  });
});

describeAsRoot('archive()', () => {
  test('keeps kinds, modes, owners, links, devices and attributes', async () => {
    const box = join(root, 'box');
    mkdirSync(box);
    writeFileSync(join(box, 'a'), 'one');
    chmodSync(join(box, 'a'), 0o4751);
    linkSync(join(box, 'a'), join(box, 'b'));
    symlinkSync('/far/away', join(box, 'link'));
    const fd = openDirectory(atCwd, box);
    makeNode(fd, 'null', 0o020640, 1, 3);
    makeNode(fd, 'pipe', 0o010600);
    closeFd(fd);
    setXattr(join(box, 'a'), 'user.note', text('kept'));
    const members = await archive('/box');
    expect([...members.keys()]).toEqual(['box', 'box/a', 'box/b', 'box/link', 'box/null', 'box/pipe']);
    expect(members.get('box/a')).toMatchObject({ type: 'file', mode: 0o4751, text: 'one' });
    expect(Buffer.from(members.get('box/a')?.xattrs.get('user.note') ?? []).toString()).toBe('kept');
    expect(members.get('box/b')).toMatchObject({ type: 'link', linkName: 'box/a' });
    expect(members.get('box/link')).toMatchObject({ type: 'symlink', linkName: '/far/away' });
    expect(members.get('box/null')).toMatchObject({ type: 'char', devMajor: 1, devMinor: 3, mode: 0o640 });
    expect(members.get('box/pipe')).toMatchObject({ type: 'fifo' });
    expect([...(await archive('/box/.')).keys()]).toEqual(['.', './a', './b', './link', './null', './pipe']);
    expect([...(await archive('/')).keys()].slice(0, 2)).toEqual(['/', '/box']);
  });

  test('what is mounted is in a view, and not in the root alone', async () => {
    const view = stopped(
      { source: outside, destination: '/made/here', readOnly: true },
      { source: join(outside, 'secret'), destination: '/one', readOnly: false },
    );
    const members = await archive('/', view);
    expect([members.get('/made/here/secret')?.text, members.get('/one')?.text]).toEqual(['secret', 'secret']);
    const alone = await inside(async session => await membersOf(await session.root()), { kind: 'root', root });
    expect([...alone.keys()]).toEqual(['made', 'made/here', 'one']);
  });

  test('names of any bytes, and very deep ones', async () => {
    let deep = root;
    for (let depth = 0; depth < 60; depth += 1) {
      deep = join(deep, 'd'.repeat(40));
      mkdirSync(deep);
    }
    writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0x66, 0xff, 0xfe])]), 'bytes');
    const members = await archive('/.');
    expect([...members.keys()].some(name => name.length > 2_000)).toBe(true);
    expect([...members.values()].some(member => member.text === 'bytes')).toBe(true);
  });

  test('holds little in memory, however large the file and slow the reader', async () => {
    const big = Bun.spawnSync(['truncate', '-s', '2G', join(root, 'big')]);
    expect(big.success).toBe(true);
    await using session = await files.enter(stopped(), never);
    const { tar } = await session.archive('/big');
    const before = process.memoryUsage.rss();
    let bytes = 0;
    for await (const chunk of tar) {
      bytes += chunk.length;
      // What was read is garbage, which is not what is held.
      if (bytes % (16 * 1024 * 1024) < chunk.length) Bun.gc(true);
      if (bytes > 256 * 1024 * 1024) break;
    }
    Bun.gc(true);
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024);
  });

  test('ends with the signal', async () => {
    Bun.spawnSync(['truncate', '-s', '2G', join(root, 'big')]);
    const stop = new AbortController();
    await using session = await files.enter(stopped(), stop.signal);
    const { tar } = await session.archive('/big');
    const reading = (async () => {
      for await (const _chunk of tar) stop.abort(new DOMException('enough', 'AbortError'));
    })();
    expect(await refusal(reading)).toBe('Canceled: enough');
  });
});

describeAsRoot('extract()', () => {
  const here = (name: string): string => join(root, name);

  test('what comes out of a view goes back into one', async () => {
    mkdirSync(here('from/sub'), { recursive: true });
    writeFileSync(here('from/sub/file'), 'content');
    linkSync(here('from/sub/file'), here('from/sub/other'));
    chmodSync(here('from/sub'), 0o2711);
    setXattr(here('from/sub/file'), 'user.note', text('kept'));
    Bun.spawnSync(['touch', '-d', '@1500000000', here('from/sub/file'), here('from/sub')]);
    mkdirSync(here('to'));
    await inside(async session => {
      const { tar } = await session.archive('/from');
      await put('/to', [], {}, undefined);
      await inside(target => target.extract('/to', asArchive, tar));
    });
    expect(readFileSync(here('to/from/sub/other'), 'utf8')).toBe('content');
    expect(statSync(here('to/from/sub/file')).nlink).toBe(2);
    expect([statSync(here('to/from/sub')).mode & 0o7777, statSync(here('to/from/sub')).mtimeMs]).toEqual([0o2711, 1_500_000_000_000]);
    expect(Buffer.from(getXattr(here('to/from/sub/file'), 'user.note') ?? []).toString()).toBe('kept');
  });

  test('replaces what is there, merges directories, and keeps kinds only when asked', async () => {
    mkdirSync(here('dir/old'), { recursive: true });
    writeFileSync(here('dir/old/file'), 'old');
    writeFileSync(here('dir/plain'), 'old');
    symlinkSync(join(outside, 'secret'), here('dir/link'));
    await put('/', [
      { entry: { name: 'dir', type: 'directory', mode: 0o700 } },
      { entry: { name: 'dir/plain' }, content: text('new') },
      { entry: { name: 'dir/link' }, content: text('new') },
    ]);
    expect([readFileSync(here('dir/plain'), 'utf8'), readFileSync(here('dir/old/file'), 'utf8')]).toEqual(['new', 'old']);
    expect(lstatSync(here('dir/link')).isFile()).toBe(true);
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('secret');
    const asFile: NewTarFile = { entry: { name: 'dir/old' }, content: text('new') };
    expect(await refusal(put('/', [asFile]))).toBe('InvalidArgument: cannot overwrite directory "/dir/old" with non-directory "/"');
    const asDirectory: NewTarFile = { entry: { name: 'dir/plain', type: 'directory' } };
    expect(await refusal(put('/', [asDirectory]))).toBe('InvalidArgument: cannot overwrite non-directory "/dir/plain" with directory "/"');
    await put('/', [asFile, asDirectory], { keepsKinds: false });
    expect([lstatSync(here('dir/old')).isFile(), lstatSync(here('dir/plain')).isDirectory()]).toEqual([true, true]);
  });

  test('a target has to be a directory; links to it are followed inside', async () => {
    writeFileSync(here('file'), '');
    symlinkSync('/real', here('link'));
    mkdirSync(here('real'));
    await put('/link', [{ entry: { name: 'x' }, content: text('1') }]);
    expect(existsSync(here('real/x'))).toBe(true);
    expect(await refusal(put('/file', []))).toBe('InvalidArgument: extraction point is not a directory');
    expect(await refusal(put('/nosuch', []))).toStartWith('NotFound');
  });

  test('an archive and a container that work together reach nothing outside', async () => {
    symlinkSync(outside, here('absolute'));
    symlinkSync(`../../../..${outside}`, here('climbing'));
    mkdirSync(here('into'));
    for (const name of ['absolute', 'climbing'])
      await put('/into', [{ entry: { name: `../${name}/file` }, content: text('x') }]).catch(() => undefined);
    for (const name of ['absolute', 'climbing'])
      await put('/', [{ entry: { name: `${name}/file` }, content: text('x') }]).catch(() => undefined);
    await put('/into', [
      { entry: { name: 'out', type: 'symlink', linkName: outside } },
      { entry: { name: 'out/file' }, content: text('x') },
    ]).catch(() => undefined);
    expect(await refusal(put('/into', [{ entry: { name: '../../x' }, content: text('x') }]))).toBe(
      'InvalidArgument: "../../x" is outside of "/into"',
    );
    expect(await refusal(put('/into', [{ entry: { name: 'l', type: 'link', linkName: '../../outside/secret' } }]))).toStartWith(
      'InvalidArgument',
    );
    expect(await refusal(put('/into', [{ entry: { name: 'l', type: 'link', linkName: outside } }]))).not.toBe('nothing');
    expect(readdirSync(outside)).toEqual(['secret']);
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('secret');
  });

  test('a container that swaps directories for links all the time gets nothing outside changed', async () => {
    mkdirSync(here('a/b/c'), { recursive: true });
    const swap = `cd ${root}/a; while :; do mv b d; ln -s ${outside} b; rm b; mv d b; done`;
    processes.push(Bun.spawn(['sh', '-c', swap], { stdio: ['ignore', 'ignore', 'ignore'] }));
    const members = Array.from({ length: 400 }, (_unused, index) => ({ entry: { name: `a/b/c/${String(index)}` }, content: text('x') }));
    for (let round = 0; round < 10; round += 1) await put('/', members, { keepsKinds: false }).catch(() => undefined);
    for (let round = 0; round < 10; round += 1) await archive('/a/b').catch(() => undefined);
    expect(readdirSync(outside)).toEqual(['secret']);
  }, 60_000);

  test('nothing is put where the container may not write', async () => {
    mkdirSync(here('ro/below'), { recursive: true });
    mkdirSync(here('rw'));
    const options = {
      readOnlyRoot: true,
      mounts: [
        { destination: '/ro', readOnly: true },
        { destination: '/rw', readOnly: false },
      ],
    };
    expect(await refusal(put('/', [], options))).toBe('InvalidArgument: container rootfs is marked read-only');
    expect(await refusal(put('/ro/below', [], options))).toBe('InvalidArgument: mounted volume is marked read-only');
    expect(await refusal(put('/rw', [], options))).toBe('nothing');
    const view = stopped({ source: outside, destination: '/ro', readOnly: true });
    expect(await refusal(put('/', [{ entry: { name: 'ro/x' }, content: text('x') }], {}, view))).toStartWith('InvalidArgument: EROFS');
  });

  test('gives everything to one owner when asked', async () => {
    await put('/', [{ entry: { name: 'made/file', uid: 7, gid: 8 }, content: text('x') }], { owner: { uid: 1000, gid: 1001 } });
    for (const name of ['made', 'made/file']) expect([statSync(here(name)).uid, statSync(here(name)).gid]).toEqual([1000, 1001]);
    await put('/', [{ entry: { name: 'own', uid: 7, gid: 8, mode: 0o6755 }, content: text('x') }]);
    expect([statSync(here('own')).uid, statSync(here('own')).gid, statSync(here('own')).mode & 0o7777]).toEqual([7, 8, 0o6755]);
  });

  test('a damaged or broken archive is refused', async () => {
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield text('this is no archive'.repeat(100));
      await Promise.resolve();
    };
    expect(await refusal(inside(session => session.extract('/', asArchive, broken())))).toStartWith('InvalidArgument: damaged tar archive');
    const dead = async function* (): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(512);
      await Promise.resolve();
      throw new Error('line went dead');
    };
    expect(await refusal(inside(session => session.extract('/', asArchive, dead())))).toBe('Internal: line went dead');
  });
});

describeAsRoot('layers', () => {
  let lower: string;
  let upper: string;
  beforeEach(() => {
    [lower, upper] = [join(folder, 'lower'), join(folder, 'upper')];
    mkdirSync(join(lower, 'etc'), { recursive: true });
    mkdirSync(join(lower, 'dir/gone'), { recursive: true });
    for (const name of ['file', 'dir/kept', 'dir/removed', 'dir/gone/x', 'etc/passwd']) writeFileSync(join(lower, name), name);
    mkdirSync(upper);
  });

  const layer = (): { upperDir: string; lowerDirs: string[] } => ({ upperDir: upper, lowerDirs: [lower] });
  const whiteout = (name: string): void => {
    const slash = name.lastIndexOf('/');
    const fd = openDirectory(atCwd, join(upper, name.slice(0, Math.max(0, slash))));
    makeNode(fd, name.slice(slash + 1), 0o020000, 0, 0);
    closeFd(fd);
  };
  const changes = async (): Promise<string[]> => (await files.changes(layer(), never)).map(({ kind, path }) => `${kind} ${path}`);

  test('changes are told by path: added, modified, deleted', async () => {
    mkdirSync(join(upper, 'dir'));
    mkdirSync(join(upper, 'new/sub'), { recursive: true });
    for (const name of ['file', 'new/sub/a']) writeFileSync(join(upper, name), 'changed');
    whiteout('dir/removed');
    whiteout('dir/gone');
    expect(await changes()).toEqual([
      'modified /dir',
      'deleted /dir/gone',
      'deleted /dir/removed',
      'modified /file',
      'added /new',
      'added /new/sub',
      'added /new/sub/a',
    ]);
  });

  test('places that were made to mount something there are nobody’s change', async () => {
    for (const name of ['etc', 'dev/pts', 'dev/shm', 'proc', 'sys']) mkdirSync(join(upper, name), { recursive: true });
    for (const name of ['etc/hosts', 'etc/hostname', 'etc/resolv.conf']) writeFileSync(join(upper, name), '');
    expect(await changes()).toEqual([]);
    expect([...(await membersOf(files.layerTar(layer(), never))).keys()]).toEqual([]);
    writeFileSync(join(upper, 'etc/motd'), 'hi');
    writeFileSync(join(upper, 'dev/real'), 'hi');
    expect(await changes()).toEqual(['added /dev', 'added /dev/real', 'modified /etc', 'added /etc/motd']);
    expect([...(await membersOf(files.layerTar(layer(), never))).keys()]).toEqual(['dev', 'dev/real', 'etc', 'etc/motd']);
  });

  test('a layer has whiteouts, opaque directories and hard links, and no attributes of overlay', async () => {
    mkdirSync(join(upper, 'dir'));
    setXattr(join(upper, 'dir'), 'trusted.overlay.opaque', text('y'));
    writeFileSync(join(upper, 'dir/mine'), 'mine');
    linkSync(join(upper, 'dir/mine'), join(upper, 'dir/too'));
    setXattr(join(upper, 'dir/mine'), 'user.note', text('kept'));
    whiteout('file');
    whiteout('etc2');
    const members = await membersOf(files.layerTar(layer(), never));
    expect([...members.keys()]).toEqual(['dir', 'dir/.wh..wh..opq', 'dir/mine', 'dir/too', '.wh.file']);
    expect([...(members.get('dir')?.xattrs.keys() ?? [])]).toEqual([]);
    expect([...(members.get('dir/mine')?.xattrs.keys() ?? [])]).toEqual(['user.note']);
    expect(members.get('dir/too')?.linkName).toBe('dir/mine');
  });

  test('the same files give the same bytes', async () => {
    for (const name of ['b', 'a', 'c']) writeFileSync(join(upper, name), name);
    const bytes = async (): Promise<string> => {
      const hash = new Bun.CryptoHasher('sha256');
      for await (const chunk of files.layerTar(layer(), never)) hash.update(chunk);
      return hash.digest('hex');
    };
    expect(await bytes()).toBe(await bytes());
  });
});

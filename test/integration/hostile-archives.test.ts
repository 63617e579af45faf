import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { sha256 } from '#oci/digest.ts';
import { formatPaxRecord } from '#oci/tar/pax.ts';
import { headerSum } from '#oci/tar/header.ts';
import { type NewTarFile, tarHeader, tarPadding, writeTar } from '#oci/tar/writer.ts';
import { build, buildOk } from '#test/helpers/build.ts';
import { create, outputOf, sharedDaemon, start, waiting } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { oldArchive } from '#test/helpers/make-image.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

const text = (content: string): Uint8Array => new TextEncoder().encode(content);
const file = (name: string, content = 'x', more: object = {}): NewTarFile => ({ entry: { name, ...more }, content: text(content) });
const tar = async (files: Iterable<NewTarFile>): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array(Buffer.concat(await Array.fromAsync(writeTar(files), part => new Uint8Array(part))));

function withFlag(flag: string, body: Uint8Array, claims = body.length): Uint8Array {
  const header = new Uint8Array(tarHeader({ name: 'meta', sizeBytes: claims }));
  header[156] = flag.charCodeAt(0);
  header.set(text(`${headerSum(header).toString(8).padStart(6, '0')}\0 `), 148);
  return Buffer.concat([header, body, tarPadding(body.length)]);
}

/** Every door that archives come in by: what is hostile does no harm behind any of them. */
describe('hostile archives', () => {
  const daemon = sharedDaemon();
  let outside: string;
  let box: string;
  beforeAll(async () => {
    outside = mkdtempSync('/tmp/berth-outside-');
    writeFileSync(join(outside, 'secret'), 'secret');
    box = await start(daemon(), waiting());
  });
  afterAll(() => rmSync(outside, { recursive: true }));

  const raw = (bytes: Uint8Array) => ({ raw: bytes as Uint8Array<ArrayBuffer>, headers: { 'Content-Type': 'application/x-tar' } });
  const asImage = (layer: Uint8Array, tag: string): Uint8Array => {
    const config = text(
      JSON.stringify({
        architecture: process.arch === 'x64' ? 'amd64' : 'arm64',
        os: 'linux',
        config: {},
        rootfs: { type: 'layers', diff_ids: [sha256(layer)] },
      }),
    );
    return oldArchive([{ image: { id: sha256(config), config, layers: [layer], diffIds: [sha256(layer)] }, tags: [tag] }]);
  };
  /** What each door says to an archive: the error's words, or undefined. */
  const doors: Readonly<Record<string, (archive: Uint8Array) => Promise<string | undefined>>> = {
    load: async archive => {
      const answer = await daemon().api.call('POST', '/images/load', raw(asImage(archive, 'hostile:1')));
      return /"errorDetail":\{"message":"([^"]*)/.exec(answer.text)?.[1] ?? (answer.status === 200 ? undefined : answer.text);
    },
    'load, the archive itself': async archive => {
      const answer = await daemon().api.call('POST', '/images/load', raw(archive));
      return /"(?:message|error)":"([^"]*)/.exec(answer.text)?.[1];
    },
    import: async archive => {
      const answer = await daemon().api.call('POST', '/images/create?fromSrc=-&repo=hostile&tag=2', raw(archive));
      return /"errorDetail":\{"message":"([^"]*)/.exec(answer.text)?.[1] ?? (answer.status === 200 ? undefined : answer.text);
    },
    cp: async archive => {
      const answer = await daemon().api.call('PUT', `/containers/${box}/archive?path=/tmp`, raw(archive));
      return answer.status === 200 ? undefined : answer.text;
    },
    build: async archive => {
      const answer = await daemon().api.call('POST', '/build?t=hostile:3', raw(archive));
      return /"error":"([^"]*)/.exec(answer.text)?.[1] ?? (answer.status === 200 ? undefined : answer.text);
    },
  };
  const dockerfile = file('Dockerfile', 'FROM busybox\nCOPY . /context\n');

  test('no way leads out', async () => {
    const ways: readonly NewTarFile[][] = [
      [file('../../../../../../../../../../..' + outside + '/made')],
      [file(`${outside}/made`)],
      [{ entry: { name: 'way', type: 'symlink', linkName: outside } }, file('way/made')],
      [{ entry: { name: 'way', type: 'symlink', linkName: '../../../../../../../..' + outside } }, file('way/made')],
      [{ entry: { name: 'way', type: 'symlink', linkName: outside } }, { entry: { name: 'way', type: 'directory' } }, file('way/made')],
      [
        { entry: { name: 'a', type: 'symlink', linkName: '/' } },
        { entry: { name: 'b', type: 'symlink', linkName: `a${outside}` } },
        file('b/made'),
      ],
      [{ entry: { name: 'stolen', type: 'link', linkName: `${outside}/secret` } }],
      [{ entry: { name: 'stolen', type: 'link', linkName: '../../../../../../../..' + outside + '/secret' } }],
      [
        { entry: { name: 'way', type: 'symlink', linkName: `${outside}/secret` } },
        { entry: { name: 'stolen', type: 'link', linkName: 'way' } },
        file('stolen', 'changed'),
      ],
    ];
    for (const way of ways) {
      const archive = await tar([dockerfile, ...way]);
      for (const door of Object.values(doors)) await door(archive);
    }
    expect(existsSync(join(outside, 'made'))).toBe(false);
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('secret');
    expect(statSync(join(outside, 'secret')).nlink).toBe(1);
    expect(await outputOf(daemon(), 'find / -name secret 2>/dev/null')).toBe('');
  });

  test('devices are devices in an image and open nothing; a build copies none of what they stand for', async () => {
    const disk = statSync('/');
    const [major, minor] = [Math.floor(disk.dev / 256), disk.dev % 256];
    const archive = await tar([dockerfile, { entry: { name: 'disk', type: 'block', mode: 0o666, devMajor: major, devMinor: minor } }]);
    for (const [name, door] of Object.entries(doors)) if (name !== 'load, the archive itself') await door(archive);
    const copied = await build(daemon().api, [
      dockerfile,
      { entry: { name: 'disk', type: 'block', mode: 0o666, devMajor: major, devMinor: minor } },
    ]);
    const script = 'for f in /disk /tmp/disk /context/disk; do [ -f $f ] && echo file $f; head -c 1 $f 2>/dev/null | wc -c; done';
    const readFrom = async (image: string): Promise<string> => await outputOf(daemon(), script, { Image: image });
    if (copied.imageId !== undefined) expect(await readFrom(copied.imageId)).not.toMatch(/file|1/);
    const inside = await daemon().berth(['exec', box, 'sh', '-c', 'head -c 1 /tmp/disk | wc -c']);
    expect(inside.stdout.trim()).toBe('0');
  });

  test('headers of any size are refused without being kept', async () => {
    const before = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${String(daemon().pid)}/status`, 'utf8'))?.[1]);
    const claims = 8 * 1024 ** 3;
    const headers = [
      ...['x', 'g', 'L', 'K'].map(flag => withFlag(flag, new Uint8Array(0), claims - 1)),
      Buffer.concat(
        Array.from({ length: 40 }, (_, index) =>
          withFlag('g', formatPaxRecord(`comment${String(index)}`, new Uint8Array(1_000_000).fill(0x61))),
        ),
      ),
    ];
    for (const header of headers) {
      const archive = Buffer.concat([await tar([dockerfile]).then(bytes => bytes.subarray(0, -1024)), header, await tar([file('after')])]);
      for (const [name, door] of Object.entries(doors))
        expect([name, await door(archive)]).toEqual([
          name,
          expect.stringMatching(/limit is|global headers|missing|damaged|too large/) as string,
        ]);
    }
    const after = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${String(daemon().pid)}/status`, 'utf8'))?.[1]);
    expect(after - before).toBeLessThan(150_000);
  }, 60_000);

  test('names as long as they can be, and longer', async () => {
    const deep = Array.from({ length: 40 }, () => 'd'.repeat(90)).join('/');
    const archive = await tar([dockerfile, file(`${deep}/leaf`, 'deep')]);
    expect(await doors.load?.(archive)).toBeUndefined();
    const tooLong = await tar([dockerfile, file('n'.repeat(300))]);
    const endless = await tar([dockerfile, file(`${Array.from({ length: 60 }, () => 'd'.repeat(90)).join('/')}/leaf`)]);
    for (const each of [tooLong, endless])
      for (const door of [doors.load, doors.import, doors.cp, doors.build])
        expect(await door?.(each)).toMatch(/name too long|ENAMETOOLONG|too long/i);
    expect(await doors.cp?.(archive)).toBeUndefined();
    expect(await outputOf(daemon(), `cat /${deep}/leaf`, { Image: 'hostile:1' }).catch(() => 'no shell')).toBe('no shell');
  });

  test('a hundred thousand entries in one directory', async () => {
    const count = 100_000;
    const members = (howMany: number): NewTarFile[] =>
      Array.from({ length: howMany }, (_, index) => ({ entry: { name: `many/file-${String(index)}`, mode: 0o600 } }));
    const many = await tar(members(count));
    // A build reads every file several times: fewer show the same.
    const context = await tar([file('Dockerfile', 'FROM busybox\nCOPY many /many\nRUN ls /many | wc -l > /count\n'), ...members(20_000)]);
    const pings: number[] = [];
    const stop = new AbortController();
    const pinging = (async () => {
      while (!stop.signal.aborted) {
        const began = performance.now();
        await daemon().api.get('/_ping');
        pings.push(performance.now() - began);
        await Bun.sleep(20);
      }
    })();
    expect(await doors.load?.(many)).toBeUndefined();
    const id = await create(daemon(), { Image: 'hostile:1', Cmd: ['/none'] });
    await daemon().api.expect('DELETE', `/containers/${id}`);
    expect(await doors.cp?.(many)).toBeUndefined();
    const seen = await daemon().berth(['exec', box, 'sh', '-c', 'ls /tmp/many | wc -l']);
    expect(seen.stdout.trim()).toBe(String(count));
    const built = await daemon().api.call('POST', '/build?t=many:1', raw(context));
    expect(built.text).not.toContain('errorDetail');
    expect(await outputOf(daemon(), 'cat /count', { Image: 'many:1' })).toBe('20000');
    stop.abort();
    await pinging;
    pings.sort((a, b) => a - b);
    // Others are answered meanwhile, however slow the machine is.
    expect(pings[Math.floor(pings.length * 0.9)]).toBeLessThan(1000);
  }, 240_000);

  test('names of any bytes go in, through a container and a build, and out again', async () => {
    const names = [
      'latin-\udce4',
      'line\nbreak',
      'back\\slash',
      '\udcff\udcfe',
      ' space ',
      '-dash',
      'tab\t',
      'quote\'"',
      '日本',
      '\u001b[31m',
    ];
    const archive = await tar([dockerfile, ...names.map((name, index) => file(name, String(index)))]);
    expect(await doors.load?.(archive)).toBeUndefined();
    expect(await doors.cp?.(archive)).toBeUndefined();
    const context = [dockerfile, ...names.map((name, index) => file(name, String(index)))];
    const image = await buildOk(daemon().api, context);
    const bytesOf = (name: string): string =>
      Buffer.from(
        name.replaceAll(/[\udc80-\udcff]/g, each => String.fromCharCode(each.charCodeAt(0) - 0xdc00)),
        /[\udc80-\udcff]/.test(name) ? 'latin1' : 'utf8',
      ).toString('hex');
    const listing = async (more: object, where: string): Promise<string[]> => {
      const found = await outputOf(
        daemon(),
        `cd ${where}; for f in * .[!.]*; do [ -f "$f" ] && printf %s "$f" | od -An -v -tx1 | tr -d ' \\n' && echo; done; true`,
        more,
      );
      return found.split('\n');
    };
    expect(await listing({ Image: image }, '/context')).toEqual(expect.arrayContaining(names.map(bytesOf)));
    const saved = new Uint8Array(await (await daemon().api.open('GET', '/images/hostile:1/get')).arrayBuffer());
    await daemon().api.expect('DELETE', '/images/hostile:1?force=1');
    expect((await daemon().api.call('POST', '/images/load', raw(saved))).text).toContain('Loaded image: hostile:1');
    const out = new Uint8Array(await (await daemon().api.open('GET', `/containers/${box}/archive?path=/tmp`)).arrayBuffer());
    for (const name of names) expect(Buffer.from(out).includes(Buffer.from(bytesOf(name), 'hex'))).toBe(true);
    await eventually('the daemon is well', async () => (await daemon().api.get('/_ping')).status === 200);
  });
});

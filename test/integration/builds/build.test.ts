import { Database } from 'bun:sqlite';
import { expect } from 'bun:test';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { chainIds, parseDigest } from '#oci/digest.ts';
import { build, buildOk, type Context, contextTar, directory, file } from '#test/helpers/build.ts';
import { runToEnd, sharedDaemon } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { mountsBelow, processesNaming } from '#test/helpers/machine.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

describe('POST /build', () => {
  const daemon = sharedDaemon();
  const inspect = async (image: string) =>
    await daemon().api.expect<{
      readonly Id: string;
      readonly Config: Record<string, unknown>;
      readonly RootFS: { readonly Layers: string[] };
      readonly Created: string;
    }>('GET', `/images/${image}/json`);
  /** What a command in a container of the image writes. */
  const outputOf = async (Image: string, ...Cmd: string[]): Promise<string> => (await runToEnd(daemon(), { Image, Cmd })).stdout;
  const dockerfile = (...lines: string[]): string => `${lines.join('\n')}\n`;

  test('says what it does as the classic builder, and makes the image', async () => {
    const context = {
      Dockerfile: dockerfile(
        'FROM busybox',
        'ARG WHO=world',
        'RUN echo "hello $WHO" > /hello; echo said; echo complained >&2',
        'WORKDIR /app',
        'COPY a.txt ./',
        'ENV A=b',
        'LABEL one=1',
        'CMD ["cat", "/hello"]',
      ),
      'a.txt': 'content',
    };
    const outcome = await build(daemon().api, context, { t: ['first:1', 'second'], buildargs: '{"WHO":"Berth"}', labels: '{"two":"2"}' });
    expect(outcome.error).toBeUndefined();
    const words = outcome.text.replaceAll(/\b[0-9a-f]{12}\b/g, 'ID').split('\n');
    expect(words.filter(line => line.startsWith('Step'))).toEqual([
      'Step 1/8 : FROM busybox',
      'Step 2/8 : ARG WHO=world',
      'Step 3/8 : RUN echo "hello $WHO" > /hello; echo said; echo complained >&2',
      'Step 4/8 : WORKDIR /app',
      'Step 5/8 : COPY a.txt ./',
      'Step 6/8 : ENV A=b',
      'Step 7/8 : LABEL one=1',
      'Step 8/8 : CMD ["cat", "/hello"]',
    ]);
    expect(words).toContain(' ---> Running in ID');
    expect(words).toContain('said');
    expect(outcome.text).toContain('\u001B[91mcomplained\n\u001B[0m');
    expect(words.slice(-5)).toEqual([
      ' ---> ID',
      'Successfully built ID',
      'Successfully tagged first:1',
      'Successfully tagged second:latest',
      '',
    ]);
    const image = await inspect('first:1');
    expect(image.Id).toBe(outcome.imageId ?? '');
    expect(image.Config).toMatchObject({ WorkingDir: '/app', Cmd: ['cat', '/hello'], Labels: { one: '1', two: '2' } });
    expect(image.Config.Env).toContain('A=b');
    expect((await inspect('second')).Id).toBe(image.Id);
    expect(await outputOf('first:1', 'cat', '/hello', '/app/a.txt')).toBe('hello Berth\ncontent');

    const again = await build(daemon().api, context, { buildargs: '{"WHO":"Berth"}', labels: '{"two":"2"}' });
    expect(again.imageId).toBe(outcome.imageId ?? '');
    expect(again.text.match(/Using cache/g)).toHaveLength(3);
    const quiet = await build(daemon().api, context, { buildargs: '{"WHO":"Berth"}', labels: '{"two":"2"}', q: '1' });
    expect(quiet.text).toBe(`${outcome.imageId ?? ''}\n`);
    const anew = await build(daemon().api, context, { buildargs: '{"WHO":"Berth"}', nocache: '1' });
    expect(anew.text).not.toContain('Using cache');
  });

  test('content decides about the cache, not time', async () => {
    const at = (seconds: number, text: string): Context => [
      file('Dockerfile', dockerfile('FROM busybox', 'COPY x /x', 'RUN cat /x')),
      file('x', text, { mtime: { seconds, nanoseconds: 0 } }),
    ];
    const first = await buildOk(daemon().api, at(1_000_000_000, 'same'));
    expect(await buildOk(daemon().api, at(1_500_000_000, 'same'))).toBe(first);
    const changed = await build(daemon().api, at(1_000_000_000, 'else'));
    expect([changed.imageId === first, changed.text.includes('Using cache')]).toEqual([false, false]);
    await daemon().restart();
    expect((await build(daemon().api, at(1_000_000_000, 'same'))).text.match(/Using cache/g)).toHaveLength(2);
  });

  test('the same files give the same image with SOURCE_DATE_EPOCH', async () => {
    const context = [
      file('Dockerfile', dockerfile('FROM busybox', 'COPY a b/ /deep/er/', 'WORKDIR /made/here')),
      file('a', 'a'),
      directory('b'),
      file('b/c', 'c'),
    ];
    const query = { buildargs: '{"SOURCE_DATE_EPOCH":"1500000000"}', nocache: '1' };
    const first = await buildOk(daemon().api, context, query);
    expect(await buildOk(daemon().api, context, query)).toBe(first);
    expect((await inspect(first)).Created).toBe('2017-07-14T02:40:00.000Z');
    expect((await outputOf(first, 'stat', '-c', '%Y', '/deep/er/a', '/deep/er/c', '/made/here')).trim().split('\n')).toEqual([
      '1500000000',
      '1500000000',
      '0',
    ]);
  });

  test('COPY keeps modes, hard links, links and times; owners are root or as asked', async () => {
    const context: Context = [
      file(
        'Dockerfile',
        dockerfile(
          'FROM busybox AS build',
          'RUN mkdir /made && echo x > /made/x && chown -R 7:8 /made',
          'FROM with-accounts',
          'COPY tree/ /plain/',
          'COPY --chown=12:34 --chmod=u=rwX,go=rX tree /owned',
          'COPY --chown=svc --chmod=0640 tree/file /named/',
          'COPY --from=build /made /kept/',
          'COPY --exclude=*.o --exclude=sub tree /some/',
          'COPY --parents tree/./sub/in tree/file /parents/',
          'COPY tree/*.o tree/f?le /wild/',
          'COPY --link tree/file /usr/linked/',
          'COPY <<EOF /doc',
          'a document',
          'EOF',
        ),
      ),
      directory('tree', { mode: 0o750 }),
      file('tree/file', 'file', { mode: 0o4711, uid: 1000, gid: 1000 }),
      { entry: { name: 'tree/hard', type: 'link', linkName: 'tree/file' } },
      { entry: { name: 'tree/soft', type: 'symlink', linkName: 'file' } },
      file('tree/a.o', 'object'),
      directory('tree/sub'),
      file('tree/sub/in', 'in'),
    ];
    await buildOk(
      daemon().api,
      {
        Dockerfile: dockerfile('FROM busybox', 'RUN echo svc:x:5:6::/:/bin/sh >> /etc/passwd; echo svc:x:6: >> /etc/group'),
      },
      { t: 'with-accounts' },
    );
    const image = await buildOk(daemon().api, context);
    const stat = async (...paths: string[]): Promise<string[]> =>
      (await outputOf(image, 'stat', '-c', '%n %a %u:%g %h %Y', ...paths)).trim().split('\n');
    expect(await stat('/plain', '/plain/file', '/plain/hard', '/plain/soft')).toEqual([
      '/plain 755 0:0 3 1600000000',
      '/plain/file 4711 0:0 2 1600000000',
      '/plain/hard 4711 0:0 2 1600000000',
      '/plain/soft 777 0:0 1 0',
    ]);
    expect(await stat('/owned', '/owned/file', '/named/file', '/kept/x')).toEqual([
      '/owned 755 12:34 3 1600000000',
      '/owned/file 755 12:34 2 1600000000',
      '/named/file 640 5:6 1 1600000000',
      expect.stringMatching(/^\/kept\/x 644 7:8 1 /) as unknown as string,
    ]);
    expect(
      (await outputOf(image, 'sh', '-c', 'cd /some; ls; cd /parents; find . -type f | sort; ls /wild /usr/linked; cat /doc')).split('\n'),
    ).toEqual(['file', 'hard', 'soft', './sub/in', './tree/file', '/usr/linked:', 'file', '', '/wild:', 'a.o', 'file', 'a document', '']);
  });

  test('ADD unpacks local archives in any compression, and nothing else', async () => {
    const archive = new Uint8Array(await contextTar([file('in/side', 'unpacked', { uid: 9, gid: 9, mode: 0o600 })]));
    const member = (name: string, bytes: Uint8Array) => ({ entry: { name, sizeBytes: bytes.length }, content: bytes });
    const context = [
      file(
        'Dockerfile',
        dockerfile(
          'FROM busybox',
          'ADD plain.tar /plain/',
          'ADD packed.tgz /packed',
          'ADD text.tar /text/',
          'ADD --unpack=false plain.tar /not/',
        ),
      ),
      member('plain.tar', archive),
      member('packed.tgz', Bun.gzipSync(archive)),
      file('text.tar', 'this is no archive at all'),
    ];
    const image = await buildOk(daemon().api, context);
    const seen = await outputOf(image, 'sh', '-c', 'cat /plain/in/side; stat -c " %a %u:%g" /packed/in/side; ls /text /not');
    expect(seen.split('\n')).toEqual(['unpacked 600 9:9', '/not:', 'plain.tar', '', '/text:', 'text.tar', '']);
  });

  test('mounts of RUN reach no layer', async () => {
    const steps = dockerfile(
      'FROM busybox AS other',
      'RUN mkdir /data && echo other > /data/f',
      'FROM busybox',
      'RUN --mount=type=cache,target=/var/cache/x,id=counter echo line >> /var/cache/x/lines',
      'RUN --mount=type=tmpfs,target=/scratch touch /scratch/gone && test -d /scratch',
      'RUN --mount=target=/ctx --mount=from=other,source=/data,target=/data cat /ctx/a /data/f > /copied && ! touch /ctx/b',
      'RUN --mount=target=/ctx,rw touch /ctx/b && ls /ctx > /listed',
      'RUN --mount=type=secret,id=none,target=/run/secrets/none test ! -e /run/secrets/none',
      'RUN <<EOF',
      'echo from a document > /document',
      'EOF',
    );
    const image = await buildOk(daemon().api, { Dockerfile: steps, a: 'context\n' });
    const listing = await outputOf(image, 'sh', '-c', 'cat /copied /listed /document; ls -A / /var/cache /run 2>/dev/null | tr "\\n" " "');
    expect(listing).toStartWith('context\nother\nDockerfile\na\nb\nfrom a document\n');
    for (const name of ['ctx', 'data', 'scratch', 'secrets', '/var/cache'])
      expect(listing.split('\n').at(-1)?.split(' ')).not.toContain(name);
    const counted = dockerfile('FROM busybox', 'RUN --mount=type=cache,target=/c,id=counter wc -l < /c/lines > /count');
    expect(await outputOf(await buildOk(daemon().api, { Dockerfile: counted }), 'cat', '/count')).toBe('1\n');
    const required = dockerfile('FROM busybox', 'RUN --mount=type=secret,id=needed,required=true true');
    expect((await build(daemon().api, { Dockerfile: required })).error).toBe('secret needed: not found');
  });

  test('stages that do not need each other are built at the same time, and only those that the target needs', async () => {
    // Each waits for the other to have begun.
    const stage = (own: string, other: string): string =>
      `RUN --mount=type=cache,target=/m,id=meet touch /m/${own}; for i in $(seq 1000); do test -e /m/${other} && break; usleep 20000; done; test -e /m/${other} && echo ${own} > /${own}`;
    const steps = dockerfile(
      'FROM busybox AS one',
      stage('one', 'two'),
      'FROM busybox AS two',
      stage('two', 'one'),
      'FROM busybox AS unneeded',
      'RUN false',
      'FROM busybox',
      'COPY --from=one /one /',
      'COPY --from=two /two /',
    );
    const outcome = await build(daemon().api, { Dockerfile: steps });
    expect(outcome.error).toBeUndefined();
    expect(outcome.text).not.toContain('unneeded');
    const target = await build(daemon().api, { Dockerfile: steps }, { target: 'unneeded' });
    expect([target.error, target.errorCode]).toEqual(["The command '/bin/sh -c false' returned a non-zero code: 1", 1]);
  });

  test('equal work in two builds is done once', async () => {
    const steps = dockerfile(
      'FROM busybox',
      'RUN --mount=type=cache,target=/m,id=once echo run >> /m/runs; for i in $(seq 1000); do test -e /m/go && break; usleep 20000; done; cp /m/runs /runs; echo was here',
    );
    const builds = [
      build(daemon().api, { Dockerfile: steps }, { t: 'once:1' }),
      build(daemon().api, { Dockerfile: steps }, { t: 'once:2' }),
    ];
    const caches = join(daemon().dataRoot, 'build/caches');
    const cache = await eventually('the work has begun', () => readdirSync(caches).find(name => existsSync(join(caches, name, 'runs'))));
    await Bun.write(join(caches, cache, 'go'), '');
    const [one, two] = await Promise.all(builds);
    expect([one?.error, two?.error]).toEqual([undefined, undefined]);
    expect(one?.imageId).toBe(two?.imageId ?? '');
    expect([one?.text.includes('was here'), two?.text.includes('was here')]).toEqual([true, true]);
    expect(await outputOf('once:1', 'cat', '/runs')).toBe('run\n');
  });

  test('who joined a step gets its result also when the one that began it has left', async () => {
    const steps = dockerfile(
      'FROM busybox',
      'RUN --mount=target=/ctx --mount=type=cache,target=/m,id=joined touch /m/begun; for i in $(seq 1000); do test -e /m/go && break; usleep 20000; done; cat /ctx/a > /a; echo ended',
    );
    const context = { Dockerfile: steps, a: 'from the context' };
    const client = new AbortController();
    const first = build(daemon().api, context, {}, { signal: client.signal }).catch(() => undefined);
    const caches = join(daemon().dataRoot, 'build/caches');
    const cache = await eventually('the work has begun', () => readdirSync(caches).find(name => existsSync(join(caches, name, 'begun'))));
    const second = build(daemon().api, context, { t: 'joined' });
    const contexts = (): number => readdirSync(join(daemon().dataRoot, 'build/work')).filter(name => name.startsWith('context-')).length;
    await eventually('the second one has come', () => contexts() === 2);
    client.abort();
    await first;
    await Bun.write(join(caches, cache, 'go'), '');
    expect((await second).error).toBeUndefined();
    expect(await outputOf('joined', 'cat', '/a')).toBe('from the context');
    await eventually('both contexts are gone', () => contexts() === 0);
  });

  test('a cached step whose layer is gone is done again', async () => {
    const context = { Dockerfile: dockerfile('FROM busybox', 'RUN echo lost > /lost') };
    const image = await buildOk(daemon().api, context);
    const layersOf = (await inspect(image)).RootFS.Layers;
    const [below, digest] = [layersOf.slice(0, -1), layersOf.at(-1) ?? ''];
    await daemon().api.expect('DELETE', `/images/${image}`);
    expect((await build(daemon().api, context)).text).toContain('Using cache');
    await daemon().api.expect('DELETE', `/images/${image}`);
    await daemon().stop();
    const records = new Database(join(daemon().dataRoot, 'berth.db'));
    const layers = records.query<{ key: string; value: string }, []>("SELECT key, value FROM records WHERE noun = 'layers'").all();
    expect(layers.map(({ key }) => key)).toContain(chainIds([...below, digest].map(parseDigest)).at(-1) as string);
    records.run("DELETE FROM records WHERE noun = 'layers' AND key = ?", [chainIds([...below, digest].map(parseDigest)).at(-1) as string]);
    records.close();
    await daemon().start();
    const again = await build(daemon().api, context);
    expect([again.error, again.text.includes('Using cache')]).toEqual([undefined, false]);
    expect(await outputOf(again.imageId ?? '', 'cat', '/lost')).toBe('lost\n');
  });

  test('a step ends when its client leaves, and leaves nothing', async () => {
    const before = mountsBelow(daemon().dataRoot).length;
    const client = new AbortController();
    const steps = dockerfile('FROM busybox', 'RUN echo begun; sleep 98765');
    const building = build(daemon().api, { Dockerfile: steps }, {}, { signal: client.signal }).catch(() => undefined);
    await eventually('the step runs', () => processesNaming('sleep 98765').length > 0);
    client.abort();
    await building;
    await eventually('the step has ended', () => processesNaming('sleep 98765').length === 0);
    await eventually('its root is gone', () => mountsBelow(daemon().dataRoot).length === before);
    await eventually('its files are gone', () => readdirSync(join(daemon().dataRoot, 'build/work')).length === 0);
  });

  test('what is wrong is said before anything is done', async () => {
    const wrong = async (context: Context, query: Record<string, string> = {}): Promise<[number, string | undefined]> => {
      const { status, error } = await build(daemon().api, context, query);
      return [status, error];
    };
    expect(await wrong({ Dockerfile: 'FROM busybox\nCOPPY a b\n' })).toEqual([400, expect.stringContaining('COPPY') as unknown as string]);
    expect(await wrong({ other: 'x' })).toEqual([400, 'Cannot locate specified Dockerfile: Dockerfile']);
    expect(await wrong({ Dockerfile: '' })).toEqual([400, 'The Dockerfile (Dockerfile) cannot be empty']);
    expect(await wrong({ Dockerfile: 'FROM busybox\n' }, { t: 'UPPER' })).toEqual([
      400,
      expect.stringContaining('must be lowercase') as unknown as string,
    ]);
    expect(await wrong({ Dockerfile: 'FROM busybox AS a\n' }, { target: 'b' })).toEqual([
      400,
      expect.stringContaining('target stage "b" could not be found') as unknown as string,
    ]);
    const [status, missing] = await wrong({ Dockerfile: 'FROM busybox\nCOPY nothing /\n' });
    expect([status, missing]).toEqual([200, expect.stringContaining('"/nothing": not found') as unknown as string]);
    const [, start] = await wrong({ Dockerfile: 'FROM busybox\nRUN ["/none"]\n' });
    expect(start).toContain('no such file or directory');
  });

  test('ONBUILD, a Dockerfile anywhere, and .dockerignore that excludes it', async () => {
    await buildOk(
      daemon().api,
      { Dockerfile: dockerfile('FROM busybox', 'ONBUILD RUN echo triggered > /triggered', 'ONBUILD COPY . /all/') },
      { t: 'triggers' },
    );
    const context = { 'sub/My.file': 'FROM triggers\nRUN cat /triggered\n', '.dockerignore': 'sub\n.dockerignore\n', kept: 'kept' };
    const image = await buildOk(daemon().api, context, { dockerfile: 'sub/My.file' });
    expect(await outputOf(image, 'sh', '-c', 'cat /triggered; find /all -type f | sort')).toBe('triggered\n/all/kept\n');
    expect((await inspect(image)).Config.OnBuild ?? null).toBeNull();
  });

  test('a network, hosts and limits for steps', async () => {
    const steps = dockerfile(
      'FROM busybox',
      'RUN ls /sys/class/net > /nets; grep special /etc/hosts > /hosts; ulimit -n > /files; df -k /dev/shm | tail -1 > /shm',
    );
    const image = await buildOk(
      daemon().api,
      { Dockerfile: steps },
      {
        networkmode: 'none',
        extrahosts: 'special:10.9.8.7',
        ulimits: '[{"Name":"nofile","Soft":123,"Hard":456}]',
        shmsize: String(1024 * 1024),
      },
    );
    const seen = await outputOf(image, 'cat', '/nets', '/hosts', '/files', '/shm');
    expect(seen).toContain('lo\n');
    expect(seen).not.toContain('eth0');
    expect(seen).toContain('10.9.8.7\tspecial');
    expect(seen).toContain('\n123\n');
    expect(seen).toMatch(/shm\s+1024/);
    const entitled = dockerfile('FROM busybox', 'RUN --network=host true');
    expect((await build(daemon().api, { Dockerfile: entitled })).error).toBe('network.host is not allowed');
  });

  test('the cache is told of in system/df, and pruned', async () => {
    await buildOk(daemon().api, { Dockerfile: dockerfile('FROM busybox', 'RUN echo cached > /cached', 'RUN rm /cached') });
    const usage = async () =>
      (
        await daemon().api.expect<{ BuildCache: { ID: string; Description: string; Size: number; InUse: boolean }[] }>(
          'GET',
          '/system/df?type=build-cache',
        )
      ).BuildCache;
    const record = (await usage()).find(({ Description }) => Description.includes('echo cached'));
    // What it takes on the disk, with its directory and its recipe.
    expect(record?.Size).toBeGreaterThan(7);
    expect(record).toMatchObject({ InUse: false });
    const one = await daemon().api.expect<{ CachesDeleted: string[] }>(
      'POST',
      `/build/prune?all=1&filters=${encodeURIComponent(JSON.stringify({ id: [record?.ID ?? ''] }))}`,
    );
    expect(one.CachesDeleted).toEqual([record?.ID ?? '']);
    const { CachesDeleted } = await daemon().api.expect<{ CachesDeleted: string[] }>('POST', '/build/prune?all=1');
    expect(CachesDeleted.length).toBeGreaterThan(5);
    expect(await usage()).toEqual([]);
    expect(readdirSync(join(daemon().dataRoot, 'build/caches'))).toEqual([]);
    await daemon().api.post('/images/prune?filters=%7B%22dangling%22%3A%7B%22false%22%3Atrue%7D%7D');
    const layers = readdirSync(join(daemon().dataRoot, 'layers')).filter(name => /^\d+$/.test(name));
    expect(layers).toEqual([]);
  });
});

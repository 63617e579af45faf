import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { getXattr, setXattr } from '#host/sys/fs.ts';
import { runToEnd, sharedDaemon } from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { needs } from '#test/helpers/needs.ts';
import { berthCommand } from '#test/helpers/paths.ts';
import { startRegistry } from '#test/helpers/registry.ts';
import { run, runOk, type RunResult } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'docker-registry', 'skopeo');

/** In whichever hierarchy. */
const isMadeCgroup = (path: string): boolean =>
  ['', '/pids', '/memory', '/unified'].some(hierarchy => existsSync(`/sys/fs/cgroup${hierarchy}${path}`));

const lines = (...text: string[]): string => `${text.join('\n')}\n`;

interface Index {
  readonly annotations?: object;
  readonly manifests: readonly {
    readonly digest: string;
    readonly platform?: object;
    readonly annotations?: Readonly<Record<string, string>>;
  }[];
}

describe('every flag of build', () => {
  const daemon = sharedDaemon({ args: ['--insecure-registry', '127.0.0.0/8'] });
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  beforeAll(async () => {
    folder = await tempFolder();
  });
  afterAll(async () => {
    await folder[Symbol.asyncDispose]();
  });

  let number = 0;
  function directory(files: Readonly<Record<string, string>>): string {
    const path = join(folder.path, `files-${String((number += 1))}`);
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(path, name)), { recursive: true });
      writeFileSync(join(path, name), text);
    }
    return path;
  }
  async function berth(
    args: readonly string[],
    options: { readonly stdin?: string; readonly env?: Record<string, string> } = {},
  ): Promise<RunResult> {
    const env = { DOCKER_HOST: `unix://${daemon().socketPath}`, DOCKER_CONFIG: folder.path, HOME: folder.path, ...options.env };
    return await run([...berthCommand(), ...args], { env, cwd: folder.path, ...(options.stdin !== undefined && { stdin: options.stdin }) });
  }
  async function ok(args: readonly string[], options: Parameters<typeof berth>[1] = {}): Promise<RunResult> {
    const result = await berth(args, options);
    if (result.exitCode !== 0) throw new Error(`berth ${args.join(' ')} failed: ${result.stdout}${result.stderr}`);
    return result;
  }
  const build = async (...args: string[]): Promise<RunResult> => await ok(['build', '--progress', 'plain', ...args]);
  const stdoutOf = async (image: string, ...cmd: string[]): Promise<string> =>
    (await runToEnd(daemon(), { Image: image, Cmd: cmd })).stdout;
  const inArchive = async (archive: string, digest: string): Promise<string> =>
    await runOk(['tar', 'xOf', archive, `blobs/sha256/${digest.slice('sha256:'.length)}`]);
  /** Bytes of the context that a build sent, as it tells. */
  const sent = ({ stderr }: RunResult): string => /transferring context: ([\d.]+\w?B)/.exec(stderr)?.[1] ?? '';

  test('other contexts: a directory, an image, an OCI layout; one that is missing is named', async () => {
    const base = directory({ Dockerfile: lines('FROM busybox', 'RUN echo from the layout > /text') });
    const layout = join(folder.path, 'layout');
    await build('-o', `type=oci,tar=false,dest=${layout}`, '-t', 'for-layout:1', base);
    const files = directory({ 'sub/f': 'from the directory', '.dockerignore': 'secret', secret: 'x' });
    const main = directory({
      Dockerfile: lines(
        'FROM base',
        'COPY --from=files . /files',
        'COPY --from=img /bin/busybox /b',
        'RUN cat /text /files/sub/f; ls /files',
      ),
    });
    const contexts = ['--build-context', `base=oci-layout://${layout}:1`, '--build-context', `files=${files}`];
    const { stderr } = await build(...contexts, '--build-context', 'img=docker-image://busybox', main);
    expect(stderr).toMatch(/from the layout/);
    expect(stderr).toMatch(/from the directory/);
    expect(stderr).not.toMatch(/ secret$/m);
    const missing = await berth(['build', '--build-context', 'base=/no/such', main]);
    expect([missing.exitCode, missing.stderr]).toEqual([1, expect.stringContaining('failed to get build context /no/such')]);
  });

  test('an image for several platforms is kept whole, and pushed whole', async () => {
    await using registry = await startRegistry();
    const context = directory({
      Dockerfile: lines('FROM scratch', 'ARG TARGETARCH', 'COPY $TARGETARCH /arch', 'LABEL arch=$TARGETARCH'),
      amd64: 'amd64',
      arm64: 'arm64',
    });
    const name = `${registry.address}/team/both:1`;
    const metadata = join(folder.path, 'metadata.json');
    await build('--platform', 'linux/amd64,linux/arm64', '-t', name, '--annotation', 'index:k=v', '--metadata-file', metadata, context);
    const { json: list } =
      await daemon().api.get<{ RepoTags: string[]; Manifests: { ImageData?: { Platform: { architecture: string } } }[] }[]>(
        '/images/json?manifests=1',
      );
    const kept = list.find(({ RepoTags }) => RepoTags.includes(name));
    expect(kept?.Manifests.map(({ ImageData }) => ImageData?.Platform.architecture)).toEqual(['amd64', 'arm64']);
    const written = JSON.parse(readFileSync(metadata, 'utf8')) as Record<string, unknown>;
    expect(written).toMatchObject({ 'image.name': name, 'containerimage.descriptor': { digest: written['containerimage.digest'] } });
    await ok(['push', name]);
    const pushed = JSON.parse(await runOk(['skopeo', 'inspect', '--tls-verify=false', '--raw', `docker://${name}`])) as Index;
    expect(pushed.manifests.map(({ platform }) => platform)).toMatchObject([{ architecture: 'amd64' }, { architecture: 'arm64' }]);
    const direct = `${registry.address}/team/direct:1`;
    await build('--push', '--platform', 'linux/amd64,linux/arm64', '-t', direct, context);
    const sentIndex = JSON.parse(await runOk(['skopeo', 'inspect', '--tls-verify=false', '--raw', `docker://${direct}`])) as Index;
    // Two images, and how each of them was made.
    expect(sentIndex.manifests).toHaveLength(4);
    await ok(['rmi', name, direct]);
    const { json: after } = await daemon().api.get<{ RepoTags: string[] }[]>('/images/json?all=1');
    expect(after.filter(({ RepoTags }) => RepoTags.some(tag => tag.includes('/team/')))).toEqual([]);
  });

  test('what is attested is kept with an image that has a name, and written with an archive', async () => {
    const context = directory({ Dockerfile: lines('FROM busybox', 'RUN echo attested > /a') });
    const archive = join(folder.path, 'attested.tar');
    await build('--sbom', 'true', '--provenance', 'mode=max', '-o', `type=oci,dest=${archive}`, '-t', 'attested:1', context);
    const [{ digest } = { digest: '' }] = (JSON.parse(await runOk(['tar', 'xOf', archive, 'index.json'])) as Index).manifests;
    const index = JSON.parse(await inArchive(archive, digest)) as Index;
    expect(index.manifests.map(({ annotations }) => annotations?.['vnd.docker.reference.type'])).toEqual([
      undefined,
      'attestation-manifest',
    ]);
    await build('--attest', 'type=provenance,mode=min', '-t', 'attested:1', context);
    const saved = join(folder.path, 'saved.tar');
    await ok(['save', '-o', saved, 'attested:1']);
    expect(await runOk(['tar', 'xOf', saved, 'index.json'])).toContain('image.index');
  });

  test('several outputs at once, each where it was asked for', async () => {
    const context = directory({
      Dockerfile: lines('FROM busybox AS made', 'RUN echo out > /out && ln -s out /link', 'FROM scratch', 'COPY --from=made /out /link /'),
    });
    const [files, tar, oci, docker, id] = ['out', 'out.tar', 'oci.tar', 'docker.tar', 'iid'].map(name => join(folder.path, name)) as [
      string,
      string,
      string,
      string,
      string,
    ];
    mkdirSync(files);
    writeFileSync(join(files, 'stays'), '');
    const outputs = [
      `type=local,dest=${files}`,
      `type=tar,dest=${tar}`,
      `type=oci,dest=${oci},compression=zstd,compression-level=9`,
      `type=docker,dest=${docker}`,
      'type=image',
    ];
    await build(...outputs.flatMap(output => ['-o', output]), '-t', 'outputs:1', '--provenance=false', '--iidfile', id, context);
    expect(readdirSync(files).sort()).toEqual(['link', 'out', 'stays']);
    expect((await runOk(['tar', 'tf', tar])).trim().split('\n').sort()).toEqual(['link', 'out']);
    const manifest = JSON.parse(await runOk(['skopeo', 'inspect', '--raw', `oci-archive:${oci}`])) as { layers: { mediaType: string }[] };
    expect(manifest.layers.map(({ mediaType }) => mediaType)).toEqual(['application/vnd.oci.image.layer.v1.tar+zstd']);
    const { json } = await daemon().api.get<{ Id: string }>('/images/outputs:1/json');
    expect(readFileSync(id, 'utf8')).toBe(json.Id);
    await ok(['rmi', 'outputs:1']);
    expect((await ok(['load', '-i', docker])).stdout).toContain('outputs:1');
    const toStdout = await ok(['build', '-q', '-o', '-', context]);
    expect(toStdout.stdout).toContain('ustar');
    for (const [compression, level] of [
      ['estargz', ''],
      ['brotli', ''],
      ['zstd', '23'],
    ] as const) {
      const output = `type=oci,dest=${oci},compression=${compression}${level === '' ? '' : `,compression-level=${level}`}`;
      expect((await berth(['build', '-o', output, context])).stderr).toMatch(/unsupported layer compression|invalid compression-level/);
    }
    const unknown = await berth(['build', '-o', 'type=nothing', context]);
    expect([unknown.exitCode, unknown.stderr]).toEqual([1, expect.stringContaining('"nothing"')]);
  });

  test('caches: in a directory, in a registry, in the image', async () => {
    await using registry = await startRegistry();
    const context = directory({ Dockerfile: lines('FROM busybox', 'RUN echo cached; cat /proc/sys/kernel/random/uuid > /when') });
    const place = join(folder.path, 'cache');
    const image = `${registry.address}/team/cached:1`;
    const forget = async (): Promise<void> => {
      await ok(['rmi', '-f', image]);
      await ok(['builder', 'prune', '-af']);
    };
    await build(
      '-t',
      image,
      '--cache-to',
      `type=local,dest=${place},mode=max`,
      '--cache-to',
      `type=registry,ref=${registry.address}/team/cache:1,compression=zstd`,
      '--cache-to',
      'type=inline',
      '--push',
      context,
    );
    const when = await stdoutOf(image, 'cat', '/when');
    for (const from of [`type=local,src=${place}`, `type=registry,ref=${registry.address}/team/cache:1`, image]) {
      await forget();
      expect((await build('-t', image, '--cache-from', from, context)).stderr).toMatch(/^#\d+ CACHED$/m);
      expect(await stdoutOf(image, 'cat', '/when')).toBe(when);
    }
    const refused = await berth(['build', '--cache-to', 'type=gha', context]);
    expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining('caches of the type "gha" are not written')]);
  });

  test('steps are done anew where that is asked, and only there', async () => {
    const context = directory({
      Dockerfile: lines(
        'FROM busybox AS one',
        'RUN cat /proc/sys/kernel/random/uuid > /when',
        'FROM busybox AS two',
        'RUN cat /proc/sys/kernel/random/uuid > /when',
        'FROM scratch',
        'COPY --from=one /when /one',
        'COPY --from=two /when /two',
      ),
    });
    const out = join(folder.path, 'anew');
    const times = async (...flags: string[]): Promise<string[]> => {
      await build('-o', out, ...flags, context);
      return [readFileSync(join(out, 'one'), 'utf8'), readFileSync(join(out, 'two'), 'utf8')];
    };
    const [one, two] = await times();
    expect(await times()).toEqual([one, two] as string[]);
    const filtered = await times('--no-cache-filter', 'two');
    expect([filtered[0] === one, filtered[1] === two]).toEqual([true, false]);
    const all = await times('--no-cache');
    expect([all[0] === one, all[1] === filtered[1]]).toEqual([false, false]);
  });

  test('what steps get: hosts, limits, secrets of files and variables, and nothing of it stays', async () => {
    const value = `hidden-${String(process.pid)}`;
    const secret = join(folder.path, 'secret');
    writeFileSync(secret, `${value}-file`);
    const context = directory({
      Dockerfile: lines(
        'FROM busybox',
        'RUN cat /etc/hosts; ulimit -n; df -k /dev/shm | tail -1',
        'RUN --mount=type=secret,id=f --mount=type=secret,id=e,env=E wc -c < /run/secrets/f; [ "${#E}" -gt 6 ] && echo has E',
        'RUN ls -A /run; echo "E is <$E>"',
      ),
    });
    const flags = ['--add-host', 'made-up:10.1.2.3', '--ulimit', 'nofile=77:88', '--shm-size', '3m', '--label', 'a=b'];
    const args = [...flags, '--secret', `id=f,src=${secret}`, '--secret', 'id=e,env=VALUE', '-t', 'flags:1', '--network', 'none', context];
    const { stderr } = await ok(['build', '--progress', 'plain', ...args], { env: { VALUE: value } });
    expect(stderr).toMatch(/10\.1\.2\.3\s+made-up/);
    expect(stderr).toMatch(/ 77$/m);
    expect(stderr).toMatch(/ shm\s+3072 /);
    expect(stderr).toMatch(new RegExp(` ${String(value.length + 5)}$`, 'm'));
    expect(stderr).toMatch(/has E$/m);
    expect(stderr).toMatch(/E is <>$/m);
    const { json } = await daemon().api.get<{ Config: { Labels: object } }>('/images/flags:1/json');
    expect(json.Config.Labels).toEqual({ a: 'b' });
    const required = directory({ Dockerfile: lines('FROM busybox', 'RUN --mount=type=secret,id=x,required true') });
    expect((await berth(['build', required])).stderr).toContain('secret x: not found');
    expect((await berth(['build', '--secret', 'id=x,src=/no/such', required])).stderr).toContain('/no/such');
    // Whatever the daemon has written anywhere: neither value is in it.
    const found = await run(['grep', '-rlF', value, daemon().folder]);
    expect(found.stdout).toBe('');
  });

  test('contexts: an archive, a Dockerfile on stdin or elsewhere with an ignore file of its own', async () => {
    const context = directory({
      Dockerfile: lines('FROM busybox', 'COPY f /f', 'CMD ["cat", "/f"]'),
      f: 'text',
      'sub/D': lines('FROM busybox', 'RUN echo other file'),
    });
    const tar = join(folder.path, 'context.tar.gz');
    await runOk(['tar', 'czf', tar, '-C', context, '.']);
    const stdin = `sh`;
    const archived = await run([stdin, '-c', `exec "$@" < ${tar}`, 'sh', ...berthCommand(), 'build', '-t', 'archived:1', '-'], {
      env: { DOCKER_HOST: `unix://${daemon().socketPath}`, DOCKER_CONFIG: folder.path },
    });
    expect(archived.exitCode).toBe(0);
    expect(await stdoutOf('archived:1', 'cat', '/f')).toBe('text');
    const checked = await run([stdin, '-c', `exec "$@" < ${tar}`, 'sh', ...berthCommand(), 'build', '--call=targets', '-f', 'sub/D', '-'], {
      env: { DOCKER_HOST: `unix://${daemon().socketPath}`, DOCKER_CONFIG: folder.path },
    });
    expect([checked.exitCode, checked.stdout]).toEqual([0, expect.stringContaining('TARGET')]);
    expect((await ok(['build', '--progress', 'plain', '-'], { stdin: lines('FROM busybox', 'RUN echo alone') })).stderr).toContain('alone');
    const elsewhere = directory({ My: lines('FROM busybox', 'COPY . /c', 'RUN ls /c'), 'My.dockerignore': 'f\n' });
    const { stderr } = await build('-f', join(elsewhere, 'My'), context);
    expect(stderr).toMatch(/ Dockerfile$/m);
    expect(stderr).not.toMatch(/ f$/m);
  });

  test('only what is needed is sent, and of that only what has changed, also by a daemon that was started anew', async () => {
    const context = directory({ Dockerfile: lines('FROM scratch', 'COPY needed /'), 'needed/a': 'x'.repeat(300_000), 'needed/b': 'b' });
    writeFileSync(join(context, 'other'), new Uint8Array(20_000_000));
    expect(sent(await build(context))).toMatch(/^300\.\d*kB$|^300kB$/);
    expect(sent(await build(context))).toBe('');
    writeFileSync(join(context, 'needed/b'), 'changed');
    expect(sent(await build(context))).toBe('7B');
    rmSync(join(context, 'needed/b'));
    utimesSync(join(context, 'needed/a'), 1, 1);
    writeFileSync(join(context, 'Dockerfile'), lines('FROM busybox', 'COPY needed /n', 'RUN ls /n'));
    const { stderr } = await build(context);
    expect(stderr).toMatch(/ a$/m);
    expect(stderr).not.toMatch(/ b$/m);
    await daemon().restart();
    expect(sent(await build(context))).toBe('');
    const { stdout } = await ok(['buildx', 'du', '--verbose', '--filter', 'type=source.local']);
    expect(stdout).toMatch(/local source for context/);
    expect(stdout).toMatch(/Mutable:\s+true/);
    await ok(['builder', 'prune', '-f', '--filter', 'type=source.local']);
    expect((await ok(['buildx', 'du', '--filter', 'type=source.local'])).stdout).not.toMatch(/source/);
    expect(sent(await build(context))).not.toBe('');
  });

  test('extended attributes of files come along, and are a change', async () => {
    const context = directory({ Dockerfile: lines('FROM scratch', 'COPY f /f'), f: 'x' });
    const attributeOf = async (): Promise<string> => {
      await build('-t', 'attributes:1', context);
      const image = await daemon().api.expect<{ GraphDriver: { Data: { UpperDir: string } } }>('GET', '/images/attributes:1/json');
      return new TextDecoder().decode(getXattr(join(image.GraphDriver.Data.UpperDir, 'f'), 'user.note'));
    };
    expect(await attributeOf()).toBe('');
    for (const value of ['one', 'two']) {
      setXattr(join(context, 'f'), 'user.note', new TextEncoder().encode(value));
      expect(await attributeOf()).toBe(value);
    }
  });

  test('what steps get: limits, a parent of their cgroups, keys, and what has to be allowed', async () => {
    const key = join(folder.path, 'key');
    await runOk(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key]);
    const parent = `/berth-flags-${String(process.pid)}`;
    const context = directory({
      Dockerfile: lines(
        'FROM busybox',
        'RUN cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null | sed "s/^/memory /"',
        'RUN --mount=type=ssh test -S "$SSH_AUTH_SOCK"',
        'RUN --network=host ip link show lo',
        'RUN --security=insecure grep CapEff /proc/self/status',
        'RUN sleep 1',
      ),
    });
    let seen = false;
    const watching = setInterval(() => (seen ||= isMadeCgroup(parent)), 20);
    const flags = ['--resource', 'memory=67108864', '--cgroup-parent', parent, '--ssh', `default=${key}`];
    const allowed = ['--allow', 'network.host', '--allow', 'security.insecure'];
    const { stderr } = await build(...flags, ...allowed, context).finally(() => clearInterval(watching));
    expect(stderr).toMatch(/memory 67108864$/m);
    expect(stderr).toMatch(/CapEff:\s+000001ff/m);
    expect(seen).toBe(true);
    expect(isMadeCgroup(parent)).toBe(false);
    for (const [allow, wants] of [
      ['network.host', 'security.insecure'],
      ['security.insecure', 'network.host'],
    ] as const) {
      const refused = await berth(['build', '--no-cache', ...flags, '--allow', allow, context]);
      expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining(`${wants} is not allowed`)]);
    }
  });

  test('times: none is later than SOURCE_DATE_EPOCH, however that is given', async () => {
    const context = directory({ Dockerfile: lines('FROM scratch', 'COPY f /d/'), f: 'x' });
    const digests: string[] = [];
    for (const [flags, env] of [
      [[], { SOURCE_DATE_EPOCH: '1234567890' }],
      [['--build-arg', 'SOURCE_DATE_EPOCH=1234567890'], {}],
      [['-o', 'type=image,source-date-epoch=1234567890,rewrite-timestamp=true'], {}],
    ] as const) {
      utimesSync(join(context, 'f'), Date.now() / 1000, Date.now() / 1000);
      await ok(['build', '-q', '-t', 'dated:1', ...flags, context], { env });
      const { json } = await daemon().api.get<{ Id: string; Created: string }>('/images/dated:1/json');
      expect(Date.parse(json.Created)).toBe(1_234_567_890_000);
      digests.push(json.Id);
    }
    expect(new Set(digests).size).toBe(1);
  });

  test('the cache is listed, and bounds and filters say what of it goes', async () => {
    await ok(['builder', 'prune', '-af']);
    const context = directory({ Dockerfile: lines('FROM busybox', 'COPY f /f', 'RUN head -c 300000 /dev/zero > /made'), f: 'f' });
    await build('-o', 'type=cacheonly', context);
    const ids = async (...filters: string[]): Promise<string[]> => {
      const { stdout } = await ok([
        'buildx',
        'du',
        '--format',
        '{{.Type}} {{.Description}}',
        ...filters.flatMap(each => ['--filter', each]),
      ]);
      return stdout.trim().split('\n').filter(Boolean).sort();
    };
    const made = 'regular RUN head -c 300000 /dev/zero > /made';
    const all = [made, 'regular COPY f /f', 'source.local local source for context'].sort();
    const prune = async (...args: string[]): Promise<string> => (await ok(['builder', 'prune', '-f', ...args])).stdout;
    expect(await ids()).toEqual(all);
    for (const nothing of [
      ['--filter', 'until=1h'],
      ['--filter', 'inuse=true'],
      ['--filter', 'id=none'],
      ['--max-used-space', '1gb'],
      ['--min-free-space', '1kb'],
    ])
      expect(await prune(...nothing)).toBe('Total reclaimed space: 0B\n');
    expect(await ids()).toEqual(all);
    expect(await prune('--filter', 'description=head')).toMatch(/Total reclaimed space: 3\d\d(?:\.\d+)?kB/);
    expect(await ids()).toEqual(all.filter(each => each !== made));
    await prune('--min-free-space', '1000tb');
    expect(await ids()).toEqual([]);
    const refused = await berth(['builder', 'prune', '-f', '--filter', 'colour=red']);
    expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining("invalid filter 'colour'")]);
  });

  test('a base image that there is for another platform only is taken, with a warning', async () => {
    await using registry = await startRegistry();
    const other = process.arch === 'x64' ? 'arm64' : 'amd64';
    const base = `${registry.address}/team/foreign:1`;
    const context = directory({ Dockerfile: lines('FROM scratch', 'COPY f /f'), f: 'f' });
    await build('--platform', `linux/${other}`, '--provenance=false', '--push', '-t', base, context);
    await ok(['rmi', base]);
    const { stderr } = await ok(['build', '--progress', 'plain', '-o', 'type=cacheonly', '-'], { stdin: `FROM ${base}\nLABEL a=b\n` });
    const words = `InvalidBaseImagePlatform: Base image ${base} was pulled with platform "linux/${other}"`;
    expect(stderr).toContain(words);
  });

  test('the same files give the same layers on another day, from another path and of another owner', async () => {
    const layers: string[][] = [];
    for (const [owner, day] of [
      [0, '1'],
      [1234, '2'],
    ] as const) {
      const context = directory({
        Dockerfile: lines('FROM busybox', 'COPY --chmod=750 d /d', 'ADD d/f /e/', 'COPY --link d /l'),
        'd/f': 'f',
        'd/s/g': 'g',
      });
      for (const path of ['d/f', 'd/s/g', 'd/s', 'd']) {
        utimesSync(join(context, path), 1_600_000_000, 1_600_000_000);
        chownSync(join(context, path), owner, owner);
      }
      await build('--no-cache', '-t', `same:${day}`, context);
      const { json } = await daemon().api.get<{ RootFS: { Layers: string[] } }>(`/images/same:${day}/json`);
      layers.push(json.RootFS.Layers);
      await ok(['builder', 'prune', '-af']);
    }
    expect(layers[1]).toEqual(layers[0] as string[]);
  });

  test('one layer for all that is new (--squash)', async () => {
    const context = directory({
      Dockerfile: lines(
        'FROM busybox',
        'RUN echo 1 > /a && mkdir /d && echo x > /d/x',
        'RUN rm -r /d && echo 2 > /b',
        'RUN rm /bin/httpd',
        'CMD ["ls"]',
      ),
    });
    await build('-t', 'whole:1', context);
    await build('--squash', '-t', 'squashed:1', context);
    const inspect = async (name: string) =>
      (await daemon().api.get<{ Id: string; RootFS: { Layers: string[] } }>(`/images/${name}/json`)).json;
    const [base, whole, squashed] = [await inspect('busybox'), await inspect('whole:1'), await inspect('squashed:1')];
    expect(squashed.RootFS.Layers.slice(0, base.RootFS.Layers.length)).toEqual(base.RootFS.Layers);
    expect([whole.RootFS.Layers.length, squashed.RootFS.Layers.length]).toEqual([
      base.RootFS.Layers.length + 3,
      base.RootFS.Layers.length + 1,
    ]);
    expect(await stdoutOf('squashed:1', 'sh', '-c', 'cat /a /b; ls -d /d /bin/httpd 2>/dev/null')).toBe('1\n2\n');
    const { json: history } = await daemon().api.get<{ Comment: string }[]>('/images/squashed:1/history');
    expect(history[0]?.Comment).toBe(`merge ${whole.Id} to ${base.Id}`);
    await build('--squash', '-t', 'squashed:2', context);
    expect((await inspect('squashed:2')).Id).toBe(squashed.Id);
  });
});

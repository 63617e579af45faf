import { afterAll, beforeAll, expect } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BuildKitClient, openSession, type TestEdge, TestGraph } from '#test/helpers/buildkit-client.ts';
import { runToEnd, sharedDaemon } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { mountsBelow, processesNaming } from '#test/helpers/machine.ts';
import { needs } from '#test/helpers/needs.ts';
import { freePort } from '#test/helpers/registry.ts';
import { run, runOk } from '#test/helpers/run.ts';
import type { SyncSource } from '../../../src/client/buildkit/file-sync.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

interface SolveAnswer {
  readonly ref: string;
  readonly result: { readonly ref: { readonly id: string; readonly def: object } | null };
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
/** What is wrong, in words. */
const failure = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
    return '';
  } catch (err) {
    return String(err);
  }
};
const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);

/** Values of graphs that mean nothing is there, or it is as it was. */
const none = -1;

describe('graphs that clients write themselves', () => {
  const daemon = sharedDaemon();
  let client: BuildKitClient;
  let folder = '';
  let builds = 0;
  beforeAll(async () => {
    folder = mkdtempSync('/tmp/berth-graphs-');
    client = await BuildKitClient.connect(daemon().api.socketPath);
  });
  afterAll(() => {
    client?.[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const copy = (src: string, dest: string, more: object = {}): object => ({
    input: 0,
    secondaryInput: 1,
    output: 0,
    copy: { src, dest, mode: none, timestamp: none, createDestPath: true, ...more },
  });

  /** Builds a graph within a build of its own, and lets the test look at the result. */
  async function solved<T>(graph: TestGraph, root: TestEdge, look: (ask: Ask, id: string) => Promise<T>, request: object = {}): Promise<T> {
    let seen: T | undefined;
    await client.build({ Ref: `graph-${String((builds += 1))}-${crypto.randomUUID()}`, ...request }, async ask => {
      const { result } = await ask<SolveAnswer>('Solve', { Definition: graph.definition(root), allowResultReturn: true });
      const id = result.ref?.id ?? '';
      seen = await look(ask, id);
      return { ref: { id } };
    });
    return seen as T;
  }
  type Ask = <A>(name: string, request: object) => Promise<A>;
  const read = async (ask: Ask, id: string, path: string): Promise<string> =>
    text((await ask<{ Data: Uint8Array }>('ReadFile', { Ref: id, FilePath: path })).Data);
  const list = async (ask: Ask, id: string, path: string): Promise<string[]> =>
    (await ask<{ entries: { path: string }[] }>('ReadDir', { Ref: id, DirPath: path })).entries.map(entry => entry.path);

  test('processes on images: what they leave at the root and in other trees', async () => {
    const graph = new TestGraph();
    const busybox = graph.image('busybox');
    const other = graph.add({
      file: { actions: [{ input: none, output: 0, mkfile: { path: '/old', mode: 0o644, data: bytes('old'), timestamp: none } }] },
    });
    const ran = graph.run(
      busybox,
      'cat /in/old > /made; echo new > /out/new; echo away > /scratch/x; echo cached > /cache/f; ! touch /in/x 2> /dev/null',
      [
        { input: 1, dest: '/in', output: none, readonly: true },
        { input: 1, dest: '/out', output: 1 },
        { input: none, dest: '/scratch', output: none },
        { input: none, dest: '/cache', output: none, mountType: 3, cacheOpt: { ID: 'graphs', sharing: 2 } },
        { input: none, dest: '/tmp', output: none, mountType: 4, TmpfsOpt: { size: 1_000_000 } },
      ],
      [other],
    );
    expect(await solved(graph, ran, (ask, id) => read(ask, id, '/made'))).toBe('old');
    const out = { ...ran, index: 1 };
    expect(await solved(graph, out, (ask, id) => list(ask, id, '/'))).toEqual(['new', 'old']);
    // The second time nothing is done: every part of the result is known.
    const ref = `graph-again-${crypto.randomUUID()}`;
    await client.build({ Ref: ref }, async ask => {
      await ask('Solve', { Definition: graph.definition(out) });
      return {};
    });
    const vertexes = (await client.said(ref)).flatMap(update => update.vertexes ?? []);
    expect(vertexes.find(({ digest, completed }) => digest === ran.digest && completed !== null)?.cached).toBe(true);
  });

  test('changes of files, one after the other and by the names of accounts', async () => {
    const graph = new TestGraph();
    const busybox = graph.image('busybox');
    const source = graph.add({
      file: {
        actions: [
          { input: none, output: none, mkdir: { path: '/d/e', mode: 0o750, makeParents: true, timestamp: none } },
          { input: 0, output: none, mkfile: { path: '/d/e/f', mode: 0o640, data: bytes('content'), timestamp: 1_000_000_000 } },
          { input: 1, output: none, mkfile: { path: '/d/g', mode: 0o644, data: bytes('gone'), timestamp: none } },
          { input: 2, output: none, symlink: { oldpath: 'e/f', newpath: '/d/link', timestamp: none } },
          { input: 3, output: 0, rm: { path: '/d/g*', allowWildcard: true } },
        ],
      },
    });
    const owner = { user: { byName: { name: 'daemon', input: 0 } }, group: { byID: 7 } };
    const copied = graph.add({ file: { actions: [copy('/d', '/copied', { owner, dirCopyContents: true })] } }, [busybox, source]);
    const whole = graph.add({ file: { actions: [copy('/d', '/', { include_patterns: ['e'], exclude_patterns: ['**/nothing'] })] } }, [
      copied,
      source,
    ]);
    const seen = await solved(graph, whole, async (ask, id) => ({
      copied: await list(ask, id, '/copied'),
      whole: await list(ask, id, '/d'),
      file: (await ask<{ stat: object }>('StatFile', { Ref: id, Path: '/copied/e/f' })).stat,
      through: await read(ask, id, '/copied/link'),
    }));
    expect(seen).toMatchObject({ copied: ['e', 'link'], whole: ['e'], through: 'content' });
    expect(seen.file).toMatchObject({ mode: 0o640, uid: 1, gid: 7, size: 7, modTime: 1_000_000_000 });
  });

  test('directories of the client, Git repositories and downloads', async () => {
    const repository = join(folder, 'repository');
    mkdirSync(repository);
    writeFileSync(join(repository, 'tracked'), 'from git');
    const git = (...args: string[]): Promise<string> =>
      runOk(['git', '-C', repository, '-c', 'user.name=a', '-c', 'user.email=a@b', ...args]);
    await git('init', '-q', '-b', 'main', '.');
    await git('add', '.');
    await git('commit', '-q', '-m', 'one');
    const port = await freePort();
    const command = ['git', 'daemon', '--listen=127.0.0.1', `--port=${String(port)}`, `--base-path=${folder}`, '--export-all'];
    const server = Bun.spawn(command, { stdio: ['ignore', 'ignore', 'ignore'] });
    using _stop = { [Symbol.dispose]: () => server.kill() };
    const url = `git://127.0.0.1:${String(port)}/repository`;
    await eventually('the Git server answers', async () => (await run(['git', 'ls-remote', url])).exitCode === 0);
    using web = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('from the web') });
    const graph = new TestGraph();
    const local = graph.add({ source: { identifier: 'local://mine', attrs: { 'local.includepattern': JSON.stringify(['wanted']) } } });
    const remote = graph.add({ source: { identifier: `${url}#main`, attrs: { 'git.fullurl': url } } });
    const attrs = { 'http.filename': 'name', 'http.perm': '0604' };
    const download = graph.add({ source: { identifier: `http://127.0.0.1:${String(web.port)}/x`, attrs } });
    const merged = graph.add({ merge: { inputs: [0, 1, 2].map(input => ({ input })) } }, [local, remote, download]);
    const id = crypto.randomUUID();
    const content = { wanted: 'w', other: 'o' };
    using _session = await openSession(daemon().api.socketPath, id, { files: fromMemory(content) });
    const seen = await solved(
      graph,
      merged,
      async (ask, ref) => [await list(ask, ref, '/'), await read(ask, ref, '/tracked'), await read(ask, ref, '/name')],
      {
        Session: id,
      },
    );
    expect(seen).toEqual([['name', 'tracked', 'wanted'], 'from git', 'from the web']);
  });

  test('the difference of two trees, merged onto a third', async () => {
    const graph = new TestGraph();
    const busybox = graph.image('busybox');
    const lower = graph.run(busybox, 'mkdir /d; echo a > /d/a; echo b > /d/b');
    const upper = graph.run(lower, 'rm /d/a; echo c > /d/c');
    const beside = graph.run(busybox, 'mkdir /d; echo b > /d/b; echo e > /d/e');
    const third = graph.add({
      file: {
        actions: [
          { input: none, output: 0, mkdir: { path: '/d', mode: 0o755, timestamp: none } },
          { input: 0, output: none, mkfile: { path: '/x', mode: 0o644, data: bytes('x'), timestamp: none } },
        ],
      },
    });
    const diff = graph.add({ diff: { lower: { input: 0 }, upper: { input: 1 } } }, [lower, upper]);
    const merged = graph.add({ merge: { inputs: [{ input: 0 }, { input: 1 }] } }, [lower, diff]);
    expect(await solved(graph, merged, (ask, id) => list(ask, id, '/d'))).toEqual(['b', 'c']);
    // Neither stands on the other.
    const compared = graph.add({ diff: { lower: { input: 0 }, upper: { input: 1 } } }, [lower, beside]);
    const onThird = graph.add({ merge: { inputs: [{ input: 0 }, { input: 1 }] } }, [third, compared]);
    expect(await solved(graph, onThird, (ask, id) => list(ask, id, '/d'))).toEqual(expect.arrayContaining(['e']));
    const onLower = graph.add({ merge: { inputs: [{ input: 0 }, { input: 1 }] } }, [lower, compared]);
    expect(await solved(graph, onLower, (ask, id) => list(ask, id, '/d'))).toEqual(['b', 'e']);
  });

  test('a result becomes an image with the configuration that the client gives it', async () => {
    const graph = new TestGraph();
    const made = graph.run(graph.image('busybox'), 'echo made > /made');
    const config = {
      os: 'linux',
      architecture: process.arch === 'x64' ? 'amd64' : 'arm64',
      config: { Cmd: ['cat', '/made'], Env: ['PATH=/bin'] },
    };
    const ref = `graph-image-${crypto.randomUUID()}`;
    let result: SolveAnswer['result'] | undefined;
    const answer = await client.build<{ ExporterResponse: Record<string, string> }>(
      { Ref: ref, Exporters: [{ Type: 'moby', Attrs: { name: 'of-graph:1' } }] },
      async ask => {
        ({ result } = await ask<SolveAnswer>('Solve', { Definition: graph.definition(made) }));
        return { ref: { id: result.ref?.id ?? '' }, metadata: { 'containerimage.config': bytes(JSON.stringify(config)) } };
      },
    );
    expect((await runToEnd(daemon(), { Image: 'of-graph:1' })).stdout).toBe('made\n');
    expect(answer.ExporterResponse['image.name']).toBe('docker.io/library/of-graph:1');
    // Asked for at once, without a plan of the client's.
    const direct = {
      Ref: `graph-direct-${crypto.randomUUID()}`,
      Definition: graph.definition(made),
      Exporters: [{ Type: 'moby', Attrs: { name: 'of-graph:2' } }],
    };
    await client.ask('control', 'Solve', direct);
    expect((await runToEnd(daemon(), { Image: 'of-graph:2', Cmd: ['/bin/cat', '/made'] })).stdout).toBe('made\n');
  });

  test('a Dockerfile takes a graph for its context, and for an image by name', async () => {
    const graph = new TestGraph();
    const base = graph.run(graph.image('busybox'), 'echo base > /base');
    const contextGraph = new TestGraph();
    const file = (path: string, data: string, input = none): object => ({
      input,
      output: none,
      mkfile: { path, mode: 0o644, data: bytes(data), timestamp: none },
    });
    const context = contextGraph.add({
      file: { actions: [file('/Dockerfile', 'FROM given\nCOPY own /own\n'), { ...file('/own', 'of the context', 0), output: 0 }] },
    });
    const inputs = { context: contextGraph.definition(context), dockerfile: contextGraph.definition(context), one: graph.definition(base) };
    const seen = await client.build<{ ExporterResponse: object }>(
      { Ref: `graph-context-${crypto.randomUUID()}`, FrontendInputs: inputs },
      async ask => {
        const given = await ask<{ Definitions: Record<string, object> }>('Inputs', {});
        const { result } = await ask<SolveAnswer>('Solve', {
          Frontend: 'dockerfile.v0',
          FrontendOpt: { 'context:given': 'input:one' },
          FrontendInputs: given.Definitions,
        });
        const id = result.ref?.id ?? '';
        expect([await read(ask, id, '/base'), await read(ask, id, '/own')]).toEqual(['base\n', 'of the context']);
        return { ref: { id } };
      },
    );
    expect(seen.ExporterResponse).toEqual({});
  });

  test('what is wrong with a graph is said; a process that fails fails the build', async () => {
    const graph = new TestGraph();
    const busybox = graph.image('busybox');
    const failing = graph.run(busybox, 'exit 7');
    expect(await failure(solved(graph, failing, () => Promise.resolve()))).toContain('exit code: 7');
    const allowed = graph.run(busybox, 'echo ok > /ok; exit 7', [], [], { validExitCodes: [7] });
    expect(await solved(graph, allowed, (ask, id) => read(ask, id, '/ok'))).toBe('ok\n');
    expect(await failure(solved(graph, { digest: `sha256:${'0'.repeat(64)}`, index: 0 }, () => Promise.resolve()))).toContain(
      'invalid graph',
    );
    expect(await failure(solved(graph, { ...busybox, index: 5 }, () => Promise.resolve()))).toContain('no result with the number 5');
    const unknown = graph.add({ source: { identifier: 'ftp://somewhere' } });
    expect(await failure(solved(graph, unknown, () => Promise.resolve()))).toContain('ftp://somewhere');
    const insecure = graph.add(
      { exec: { meta: { args: ['true'], cwd: '/' }, mounts: [{ input: 0, dest: '/', output: 0 }], security: 1 } },
      [busybox],
    );
    expect(await failure(solved(graph, insecure, () => Promise.resolve()))).toContain('security.insecure is not allowed');
  });

  test('caches in places that are not known here are refused by their names', async () => {
    const graph = new TestGraph();
    const root = graph.image('busybox');
    const request = { Ref: `graph-cache-${crypto.randomUUID()}`, Definition: graph.definition(root) };
    const solving = client.ask('control', 'Solve', { ...request, Cache: { Exports: [{ Type: 'gha', Attrs: { token: 'x' } }] } });
    expect(await failure(solving)).toContain('"gha" are not written by this daemon: expected inline, registry or local');
  });

  test('images are looked up without being brought here', async () => {
    await client.build({ Ref: `graph-resolve-${crypto.randomUUID()}` }, async ask => {
      const answer = await ask<{ Config: Uint8Array; Digest: string }>('ResolveImageConfig', { Ref: 'docker.io/library/busybox:latest' });
      expect(JSON.parse(text(answer.Config))).toMatchObject({ os: 'linux' });
      const meta = await ask<{ Image: { Digest: string } }>('ResolveSourceMeta', {
        Source: { identifier: 'docker-image://docker.io/library/busybox:latest' },
      });
      expect(meta.Image.Digest).toBe(answer.Digest);
      return {};
    });
  });

  test('a client that leaves takes its processes along', async () => {
    const graph = new TestGraph();
    const sleeping = graph.run(graph.image('busybox'), 'sleep 54545');
    const leaving = await BuildKitClient.connect(daemon().api.socketPath);
    const lost = leaving
      .ask('control', 'Solve', { Ref: `graph-lost-${crypto.randomUUID()}`, Definition: graph.definition(sleeping) })
      .catch(() => undefined);
    await eventually('the process runs', () => processesNaming('sleep 54545').length > 0);
    leaving[Symbol.dispose]();
    await lost;
    await eventually('it has ended', () => processesNaming('sleep 54545').length === 0);
    await eventually('nothing is mounted any more', () => mountsBelow(join(daemon().dataRoot, 'build')).length === 0);
  });
});

/** Files of a client that are nowhere else, of which only what is asked for is sent. */
function fromMemory(content: Readonly<Record<string, string>>): SyncSource {
  return {
    *files({ include }) {
      for (const [path, data] of Object.entries(content).sort()) {
        if (!include.includes(path)) continue;
        yield {
          path,
          type: 'file',
          mode: 0o644,
          sizeBytes: data.length,
          modifiedNanos: 0n,
          link: '',
          devMajor: 0,
          devMinor: 0,
          xattrs: new Map(),
        };
      }
    },
    *chunks(_request, path) {
      yield bytes(content[path] ?? '');
    },
  };
}

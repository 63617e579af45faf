import { existsSync, readdirSync, statSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { baseImage } from '../../../scripts/base-images.ts';
import { writeDockerArchive } from '../../../scripts/docker-archive.ts';
import { cgroupFile, isUnified } from '#test/helpers/cgroup.ts';
import { inspect, type Inspected, logsOf, sh, start } from '#test/helpers/containers.ts';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';
import { recordingRuntime } from '#test/helpers/recording-runtime.ts';
import { remappedRoot, remappedUser, startPrivateEtc } from '#test/helpers/private-etc.ts';
import { freePort, type Registry, startRegistry } from '#test/helpers/registry.ts';
import { emptyPlugin, startNetworkPlugin } from '#test/helpers/network-plugin.ts';
import { startVolumePlugin } from '#test/helpers/volume-plugin.ts';
import { failpointNames } from './failpoints.ts';
import { type Expected, recorder, steps, type TourContext } from './tour.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'docker-registry');

/** Places that only a daemon with user namespaces passes. */
const remapped = new Set(['build.files.mapped', 'network.setup.owned', 'snapshot.mount.mapped', 'snapshot.probe.mapped']);

/** Places that are passed for volumes of plugins only. */
const isOfPlugins = (name: string): boolean => name.startsWith('volume.mount.') || name.startsWith('volume.unmount.');
const pluginName = 'shelf';
const isOfNetworkPlugins = (name: string): boolean => name.startsWith('network.plugin.');
const networkPluginName = 'wires';

/** Ends the daemon at every named place it passes, and looks at what it finds when it comes back. */
describe('a daemon that is killed', () => {
  let registry: Registry;
  let folder: string;
  let archive: Blob;

  beforeAll(async () => {
    registry = await startRegistry();
    folder = await mkdtemp('/tmp/berth-s-');
    const rootfs = join(folder, 'rootfs');
    await Bun.write(join(rootfs, 'etc/name'), 'tour\n');
    await Bun.write(join(rootfs, 'data'), crypto.getRandomValues(new Uint8Array(60_000)));
    await writeDockerArchive({ tag: 'berth-tour:1', rootfs, cmd: ['true'] }, join(folder, 'tour.tar'));
    archive = new Blob([await Bun.file(join(folder, 'tour.tar')).arrayBuffer()]);
    await baseImage('busybox');
  }, 60_000);
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const names = failpointNames();
  test('there are named places to kill it at', () => expect(names.length).toBeGreaterThan(10));

  test.each(names)(
    'at %s loses nothing and leaves nothing',
    async name => {
      await using etc = remapped.has(name) ? await startPrivateEtc() : undefined;
      await using daemon = await startDaemon({
        args: [
          ...['--insecure-registry', '127.0.0.0/8', '--experimental', '--add-runtime', `${recorder}=${recordingRuntime(folder)}`],
          ...(etc === undefined ? [] : ['--userns-remap', remappedUser.name]),
          ...(name.startsWith('snapshot.whole.') ? ['--storage-driver', 'vfs'] : []),
        ],
        ...(etc === undefined ? {} : { besideProcess: etc.pid, remappedRoot }),
      });
      await using plugin = isOfPlugins(name)
        ? await startVolumePlugin(join(daemon.execRoot, `plugins/${pluginName}.sock`), join(folder, `plugin-${name}`))
        : undefined;
      await using wires = isOfNetworkPlugins(name)
        ? await startNetworkPlugin(join(daemon.execRoot, `plugins/${networkPluginName}.sock`), join(folder, `plugin-${name}`))
        : undefined;
      await using witnesses = await startWitnesses(daemon);
      await daemon.stop();
      const place = {
        api: daemon.api,
        registry: registry.address,
        archive,
        volumePlugin: plugin && pluginName,
        networkPlugin: wires && networkPluginName,
      };

      const expected: Expected = { containers: new Map(), networks: new Set(), volumes: new Set(), images: new Set() };
      daemon.spawn({ BERTH_FAILPOINT: name });
      const passed = await takeTour(daemon, { ...place, expected });
      if (passed === undefined) {
        // The place may be one that is only passed when the daemon ends.
        process.kill(daemon.pid, 'SIGTERM');
      }
      await eventually(`the daemon dies at ${name}, which some step of the tour must pass`, () => !daemon.isRunning);
      if (passed === undefined) expect(await daemon.exited()).not.toBe(0);

      await witnesses.whileDead();
      await daemon.start();
      await witnesses.afterwards();
      await checkExpected(daemon, expected);
      await checkNothingHalfMade(daemon);
      expect(plugin?.mounts() ?? []).toEqual([]);
      // The same change works now: whatever was half done is out of the way.
      await removeTraces(daemon);
      const again: Expected = { containers: new Map(), networks: new Set(), volumes: new Set(), images: new Set() };
      for (const step of steps) await step.run({ ...place, expected: again });
      if (plugin !== undefined) expect([plugin.mounts(), plugin.volumes()]).toEqual([[], []]);
      if (wires !== undefined) expect(wires.state()).toEqual(emptyPlugin);
      await witnesses.end();
      await removeTraces(daemon);
      await checkFolders(daemon);
    },
    120_000,
  );
});

/** Takes the steps until the daemon dies; returns the one it died in, undefined when it lived through all of them. */
async function takeTour(daemon: TestDaemon, context: TourContext): Promise<string | undefined> {
  await eventually('the daemon answers or has died', async () => {
    if (!daemon.isRunning) return true;
    return (await daemon.api.get('/_ping')).status === 200;
  });
  for (const step of steps) {
    if (!daemon.isRunning) return step.name;
    step.before?.(context.expected);
    try {
      await step.run(context);
    } catch (err) {
      // A lost connection is what a dying daemon looks like; its end may be seen a moment later.
      const died = await eventually('it died', () => !daemon.isRunning, { timeoutMs: 2000 }).catch(() => false);
      if (died) return step.name;
      throw new Error(`step "${step.name}" failed, and the daemon is alive\n${await daemon.log()}`, { cause: err });
    }
    if (!daemon.isRunning) return step.name;
    step.after?.(context.expected);
  }
  return undefined;
}

interface Witnesses extends AsyncDisposable {
  whileDead(): Promise<void>;
  afterwards(): Promise<void>;
  end(): Promise<void>;
}

/** Containers that must not notice: one that writes and serves all the time, one that ends while there is no daemon. */
async function startWitnesses(daemon: TestDaemon): Promise<Witnesses> {
  const port = await freePort();
  const signals = await mkdtemp('/tmp/berth-w-');
  // Its reader may be in a user namespace.
  await chmod(signals, 0o755);
  const steady = await start(
    daemon,
    sh('(while :; do echo served | nc -l -p 80 -w 1; done) & i=0; while :; do i=$((i+1)); echo "line $i"; sleep 0.02; done', {
      ExposedPorts: { '80/tcp': {} },
      HostConfig: { PortBindings: { '80/tcp': [{ HostPort: String(port) }] } },
    }),
    'steady',
  );
  const finisher = await start(
    daemon,
    sh('while [ ! -e /signals/finish ]; do sleep 0.02; done; echo finished; exit 7', { HostConfig: { Binds: [`${signals}:/signals`] } }),
    'finisher',
  );
  const { Pid } = (await inspect(daemon, steady)).State;
  const finisherPid = (await inspect(daemon, finisher)).State.Pid;
  const isServed = (): Promise<true> =>
    eventually('the published port answers', async () => (await readFrom(port)) === 'served\n' || undefined);
  await isServed();
  return {
    async whileDead() {
      await isServed();
      await Bun.write(join(signals, 'finish'), '');
      await eventually('the finisher ends', () => !existsSync(`/proc/${String(finisherPid)}`));
    },
    async afterwards() {
      expect((await inspect(daemon, steady)).State).toMatchObject({ Status: 'running', Running: true, Pid });
      const ended = await eventually('the end of the finisher is known', async () => {
        const { State } = await inspect(daemon, finisher);
        return State.Running ? undefined : State;
      });
      expect(ended).toMatchObject({ Status: 'exited', ExitCode: 7 });
      expect((await logsOf(daemon, finisher)).stdout).toBe('finished\n');
      await isServed();
      const lines = (await logsOf(daemon, steady)).stdout.trim().split('\n');
      expect(lines.findIndex((line, i) => line !== `line ${String(i + 1)}`)).toBe(-1);
      const count = lines.length;
      await eventually('it goes on writing', async () => (await logsOf(daemon, steady)).stdout.trim().split('\n').length > count);
    },
    async end() {
      for (const id of [steady, finisher]) await daemon.api.expect('DELETE', `/containers/${id}?force=1`, { status: 204 });
      expect(await readFrom(port)).toBe('');
    },
    [Symbol.asyncDispose]: () => rm(signals, { recursive: true, force: true }),
  };
}

async function readFrom(port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect({ host: '127.0.0.1', port });
  let text = '';
  socket.on('data', chunk => (text += String(chunk)));
  socket.once('error', () => resolve(''));
  socket.once('close', () => resolve(text));
  return await promise;
}

async function checkExpected({ api }: TestDaemon, expected: Expected): Promise<void> {
  for (const [name, state] of expected.containers) {
    const seen = await api.expect<{ State: { Running: boolean } }>('GET', `/containers/${name}/json`);
    if (state !== 'any') expect({ name, running: seen.State.Running }).toEqual({ name, running: state === 'running' });
  }
  for (const name of expected.networks) await api.expect('GET', `/networks/${name}`);
  for (const name of expected.volumes) await api.expect('GET', `/volumes/${name}`);
  const images = await api.expect<{ RepoTags: string[] }[]>('GET', '/images/json');
  const tags = images.flatMap(({ RepoTags }) => RepoTags.map(tag => tag.replace(/^.*\//, '')));
  for (const name of expected.images) expect(tags).toContain(name);
}

/** Whatever is listed must be whole: what runs has a process, what does not has none, and everything can be inspected. */
async function checkNothingHalfMade(daemon: TestDaemon): Promise<void> {
  const all = await daemon.api.expect<{ Id: string }[]>('GET', '/containers/json?all=1');
  for (const { Id } of all) {
    const { State, HostConfig } = await inspect(daemon, Id);
    expect(State.Status).toBeOneOf(['created', 'running', 'paused', 'exited', 'restarting']);
    if (State.Running) {
      expect(existsSync(`/proc/${String(State.Pid)}`)).toBe(true);
      checkLimits(State.Pid, HostConfig);
    } else expect(State.Pid).toBe(0);
  }
  const images = await daemon.api.expect<{ Id: string }[]>('GET', '/images/json?all=1');
  for (const { Id } of images) await daemon.api.expect('GET', `/images/${Id}/json`);
  for (const { Id } of await daemon.api.expect<{ Id: string }[]>('GET', '/networks')) await daemon.api.expect('GET', `/networks/${Id}`);
}

/** The record and the kernel say the same. */
function checkLimits(pid: number, { PidsLimit, Memory }: Inspected['HostConfig']): void {
  const memory = isUnified() ? cgroupFile(pid, 'memory', 'memory.max') : cgroupFile(pid, 'memory', 'memory.limit_in_bytes');
  const unlimited = memory === 'max' || Number(memory) > 2 ** 60;
  expect({ pids: cgroupFile(pid, 'pids', 'pids.max'), memory: unlimited ? 0 : Number(memory) }).toEqual({
    pids: PidsLimit === null ? 'max' : String(PidsLimit),
    memory: Number(Memory),
  });
}

/** Removes all that a tour may have left, except the witnesses and the busybox image. */
async function removeTraces({ api }: TestDaemon): Promise<void> {
  const containers = await api.expect<{ Id: string; Names: string[] }[]>('GET', '/containers/json?all=1');
  for (const { Id, Names } of containers) {
    if (!['/steady', '/finisher'].includes(Names[0] ?? '')) await api.expect('DELETE', `/containers/${Id}?force=1&v=1`);
  }
  for (const { Name } of await api.expect<{ Name: string }[]>('GET', '/networks'))
    if (Name.startsWith('tour')) await api.expect('DELETE', `/networks/${Name}`);
  const { Volumes } = await api.expect<{ Volumes: { Name: string }[] | null }>('GET', '/volumes');
  for (const { Name } of Volumes ?? []) await api.expect('DELETE', `/volumes/${Name}`);
  for (const { Id, RepoTags } of await api.expect<{ Id: string; RepoTags: string[] }[]>('GET', '/images/json')) {
    if (!RepoTags.includes('busybox:latest')) await api.expect('DELETE', `/images/${Id}?force=1`);
  }
  await api.expect('POST', '/build/prune?all=1');
}

/** With nothing left but one image, its folders hold nothing else. */
async function checkFolders(daemon: TestDaemon): Promise<void> {
  await daemon.api.expect('DELETE', '/images/busybox:latest');
  await daemon.api.expect('POST', '/images/prune');
  const folders = [
    'data/containers',
    'data/volumes',
    'data/tmp',
    'data/layers',
    'data/build/work',
    'data/build/caches',
    'data/build/contexts',
    'data/build/history',
    'run/build-secrets',
    'data/content/ingest',
    'data/content/partial',
    'data/content/blobs/sha256',
    'run/containers',
    'run/netns',
    'run/pins',
    'run/userns',
    'run/exits',
  ].flatMap(path => [path, path.replace('/', `/${remappedRoot}/`)]);
  // What was removed is deleted in the background.
  await eventually('the folders are empty', () => {
    const files = folders.flatMap(path => below(join(daemon.folder, path)));
    if (files.length > 0) throw new Error(files.join(' '));
    return true;
  });
}

function below(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap(name => {
    const path = join(folder, name);
    // Every container stands on it: it is there as long as the data root.
    if (path.endsWith('/layers/frame')) return [];
    // Folders that are always there, such as the layers' trash, count when something is in them.
    return statSync(path).isDirectory() && readdirSync(path).length === 0 ? [] : [path];
  });
}

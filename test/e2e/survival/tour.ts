import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from '#test/helpers/build.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import type { ApiClient } from '#test/helpers/http.ts';
import { berthCommand } from '#test/helpers/paths.ts';
import { runOk } from '#test/helpers/run.ts';

/** What must be so after every acknowledged step. A step that was under way when the daemon died may or may not have happened. */
export interface Expected {
  /** By name: containers that must exist, and whether they must run. `undefined`: not known. */
  readonly containers: Map<string, 'running' | 'stopped' | 'any'>;
  readonly networks: Set<string>;
  readonly volumes: Set<string>;
  readonly images: Set<string>;
}

export interface TourContext {
  readonly api: ApiClient;
  readonly registry: string;
  /** Archive of a small image called `berth-tour:1`. */
  readonly archive: Blob;
  readonly expected: Expected;
  /** Name of a volume driver that is a plugin; undefined: there is none. */
  readonly volumePlugin?: string | undefined;
  /** Name of a plugin for networks and addresses. */
  readonly networkPlugin?: string | undefined;
}

interface Step {
  readonly name: string;
  run(context: TourContext): Promise<void>;
  /** Forgets what is no longer known once this step began. */
  before?(expected: Expected): void;
  after?(expected: Expected): void;
}

const traveller = 'traveller';
/** A runtime that the daemon has to have: it keeps checkpoints without CRIU. */
export const recorder = 'recorder';
const MiB = 1024 * 1024;
const trap = 'trap "exit 0" TERM; while :; do sleep 0.05; done';

/** Every kind of change, one after the other, each on what those before it left. Ends with nothing of its own left. */
export const steps: readonly Step[] = [
  {
    name: 'create a network',
    run: async ({ api }) => void (await api.expect('POST', '/networks/create', { body: { Name: 'tour-net' } })),
    after: ({ networks }) => networks.add('tour-net'),
  },
  {
    name: 'create a volume',
    run: async ({ api }) => void (await api.expect('POST', '/volumes/create', { body: { Name: 'tour-vol' } })),
    after: ({ volumes }) => volumes.add('tour-vol'),
  },
  {
    name: 'create a container',
    run: async ({ api }) =>
      void (await api.expect('POST', `/containers/create?name=${traveller}`, {
        body: {
          Image: 'busybox',
          Cmd: ['sh', '-c', trap],
          Volumes: { '/anonymous': {} },
          ExposedPorts: { '80/tcp': {} },
          HostConfig: {
            Binds: ['tour-vol:/data', 'tour-made:/etc'],
            Mounts: [
              { Type: 'image', Source: 'busybox', Target: '/image' },
              { Type: 'image', Source: 'busybox', Target: '/part', ImageOptions: { Subpath: 'etc' } },
            ],
            IpcMode: 'shareable',
            NetworkMode: 'tour-net',
            PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1' }] },
          },
        },
      })),
    after: ({ containers, volumes }) => {
      containers.set(traveller, 'stopped');
      volumes.add('tour-made');
    },
  },
  change('start', ({ api }) => api.expect('POST', `/containers/${traveller}/start`), 'running'),
  {
    name: 'exec',
    run: async ({ api }) => {
      const { Id } = await api.expect<{ Id: string }>('POST', `/containers/${traveller}/exec`, {
        body: { Cmd: ['echo', 'hi'], AttachStdout: true },
      });
      using connection = await api.hijack(`/exec/${Id}/start`, {});
      await connection.closed;
      await api.expect('GET', `/exec/${Id}/json`);
    },
  },
  {
    name: 'connect',
    run: async ({ api }) => void (await api.expect('POST', '/networks/bridge/connect', { body: { Container: traveller } })),
  },
  {
    name: 'disconnect',
    run: async ({ api }) => void (await api.expect('POST', '/networks/bridge/disconnect', { body: { Container: traveller } })),
  },
  {
    name: 'rename',
    before: ({ containers }) => containers.delete(traveller),
    run: async ({ api }) => {
      await api.expect('POST', `/containers/${traveller}/rename?name=renamed`);
      await api.expect('POST', `/containers/renamed/rename?name=${traveller}`);
    },
    after: ({ containers }) => containers.set(traveller, 'running'),
  },
  change('pause', ({ api }) => api.expect('POST', `/containers/${traveller}/pause`), 'running'),
  change('unpause', ({ api }) => api.expect('POST', `/containers/${traveller}/unpause`), 'running'),
  change(
    'update',
    ({ api }) =>
      api.expect('POST', `/containers/${traveller}/update`, {
        body: { PidsLimit: 50, Memory: 64 * MiB, MemorySwap: 128 * MiB, RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 } },
      }),
    'running',
  ),
  {
    name: 'copy into a running container',
    run: async ({ api, archive }) => void (await api.expect('PUT', `/containers/${traveller}/archive?path=/tmp`, { raw: archive })),
  },
  {
    name: 'copy out of a running container',
    run: async ({ api }) => void (await (await api.open('GET', `/containers/${traveller}/archive?path=/bin`)).arrayBuffer()),
  },
  {
    name: 'export',
    run: async ({ api }) => void (await (await api.open('GET', `/containers/${traveller}/export`)).arrayBuffer()),
  },
  {
    name: 'commit',
    run: async ({ api }) => void (await api.expect('POST', `/commit?container=${traveller}&repo=committed&tag=1`)),
    after: ({ images }) => images.add('committed:1'),
  },
  {
    name: 'remove the committed image',
    before: ({ images }) => images.delete('committed:1'),
    run: async ({ api }) => void (await api.expect('DELETE', '/images/committed:1')),
  },
  change('restart', ({ api }) => api.expect('POST', `/containers/${traveller}/restart?t=5`), 'running'),
  change('stop', ({ api }) => api.expect('POST', `/containers/${traveller}/stop?t=5`), 'stopped'),
  {
    name: 'copy into a stopped container and out of it',
    run: async ({ api, archive }) => {
      await api.expect('PUT', `/containers/${traveller}/archive?path=/data`, { raw: archive });
      await (await api.open('GET', `/containers/${traveller}/archive?path=/`)).arrayBuffer();
      await api.expect('GET', `/containers/${traveller}/changes`);
    },
  },
  change('start again', ({ api }) => api.expect('POST', `/containers/${traveller}/start`), 'running'),
  change(
    'kill',
    async ({ api }) => {
      const ended = api.expect('POST', `/containers/${traveller}/wait`);
      await api.expect('POST', `/containers/${traveller}/kill`);
      await ended;
    },
    'stopped',
  ),
  {
    name: 'remove the container',
    before: ({ containers, volumes }) => {
      containers.delete(traveller);
      volumes.delete('tour-made');
    },
    run: async ({ api }) => {
      await api.expect('DELETE', `/containers/${traveller}?v=1`);
      await api.expect('DELETE', '/volumes/tour-made?force=1');
    },
  },
  {
    name: 'a container that removes itself',
    run: async ({ api }) => {
      const { Id } = await api.expect<{ Id: string }>('POST', '/containers/create', {
        body: { Image: 'busybox', Cmd: ['true'], HostConfig: { AutoRemove: true } },
      });
      const removed = api.expect('POST', `/containers/${Id}/wait?condition=removed`);
      await api.expect('POST', `/containers/${Id}/start`);
      await removed;
    },
  },
  {
    name: 'a container with a volume of a plugin',
    run: async ({ api, volumePlugin }) => {
      if (volumePlugin === undefined) return;
      await api.expect('POST', '/volumes/create', { body: { Name: 'tour-plugged', Driver: volumePlugin } });
      const { Id } = await api.expect<{ Id: string }>('POST', '/containers/create', {
        body: { Image: 'busybox', Cmd: ['true'], HostConfig: { Binds: ['tour-plugged:/etc'] } },
      });
      const ended = api.expect('POST', `/containers/${Id}/wait?condition=next-exit`);
      await api.expect('POST', `/containers/${Id}/start`);
      await ended;
      await api.expect('DELETE', `/containers/${Id}`);
      await api.expect('DELETE', '/volumes/tour-plugged');
    },
  },
  {
    name: 'a container on a network of a plugin',
    run: async ({ api, networkPlugin: plugin }) => {
      if (plugin === undefined) return;
      await api.expect('POST', '/networks/create', { body: { Name: 'tour-wired', Driver: plugin, IPAM: { Driver: plugin } } });
      const { Id } = await api.expect<{ Id: string }>('POST', '/containers/create', {
        body: { Image: 'busybox', Cmd: ['true'], HostConfig: { NetworkMode: 'tour-wired' } },
      });
      const ended = api.expect('POST', `/containers/${Id}/wait?condition=next-exit`);
      await Promise.all([ended, api.expect('POST', `/containers/${Id}/start`)]);
      await api.expect('DELETE', `/containers/${Id}`);
      await api.expect('DELETE', '/networks/tour-wired');
    },
  },
  {
    name: 'a container that cannot start',
    run: async ({ api }) => {
      const { Id } = await api.expect<{ Id: string }>('POST', '/containers/create', {
        body: { Image: 'busybox', Cmd: ['/no/such/program'] },
      });
      await api.call('POST', `/containers/${Id}/start`);
      await api.expect('DELETE', `/containers/${Id}`);
    },
  },
  {
    name: 'a container that becomes healthy and unhealthy',
    run: async ({ api }) => {
      const { Id } = await api.expect<{ Id: string }>('POST', '/containers/create', {
        body: {
          Image: 'busybox',
          Cmd: ['sh', '-c', trap],
          Healthcheck: { Test: ['CMD', 'test', '!', '-e', '/ill'], Interval: 20_000_000, Retries: 1 },
        },
      });
      await api.expect('POST', `/containers/${Id}/start`);
      const becomes = (status: string) =>
        repeat(async () => {
          const { State } = await api.expect<{ State: { Health: { Status: string } } }>('GET', `/containers/${Id}/json`);
          return State.Health.Status === status;
        });
      await becomes('healthy');
      const exec = await api.expect<{ Id: string }>('POST', `/containers/${Id}/exec`, { body: { Cmd: ['touch', '/ill'] } });
      await api.expect('POST', `/exec/${exec.Id}/start`, { body: { Detach: true } });
      await becomes('unhealthy');
      await api.expect('DELETE', `/containers/${Id}?force=1`);
    },
  },
  {
    name: 'a container that is started again by its policy',
    run: async ({ api }) => {
      const { Id } = await api.expect<{ Id: string }>('POST', '/containers/create', {
        body: { Image: 'busybox', Cmd: ['false'], HostConfig: { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 1 } } },
      });
      await api.expect('POST', `/containers/${Id}/start`);
      await repeat(async () => {
        const { RestartCount, State } = await api.expect<{ RestartCount: number; State: { Status: string } }>(
          'GET',
          `/containers/${Id}/json`,
        );
        return RestartCount === 1 && State.Status === 'exited';
      });
      await api.expect('DELETE', `/containers/${Id}?force=1`);
    },
  },
  {
    name: 'logs whose files begin anew',
    run: async ({ api }) => {
      const chatter = 'for i in 1 2 3 4 5 6; do seq 1 200; sleep 0.1; done';
      const limits = { 'max-size': '2k', 'max-file': '3', compress: 'true' };
      for (const Type of ['json-file', 'local']) {
        const { Id } = await api.expect<{ Id: string }>('POST', '/containers/create', {
          body: { Image: 'busybox', Cmd: ['sh', '-c', chatter], HostConfig: { LogConfig: { Type, Config: limits } } },
        });
        await api.expect('POST', `/containers/${Id}/start`);
        await api.expect('POST', `/containers/${Id}/wait`);
        await api.expect('DELETE', `/containers/${Id}`);
      }
    },
  },
  {
    name: 'a container that is saved and goes on',
    run: async ({ api }) => {
      const { Id } = await api.expect<{ Id: string }>('POST', '/containers/create', {
        body: { Image: 'busybox', Cmd: ['sh', '-c', trap], HostConfig: { Runtime: recorder } },
      });
      await api.expect('POST', `/containers/${Id}/start`);
      await Promise.all([
        api.expect('POST', `/containers/${Id}/wait`),
        api.expect('POST', `/containers/${Id}/checkpoints`, { body: { CheckpointID: 'one', Exit: true } }),
      ]);
      await api.expect('POST', `/containers/${Id}/start?checkpoint=one`);
      await api.expect('DELETE', `/containers/${Id}/checkpoints/one`);
      await api.expect('DELETE', `/containers/${Id}?force=1`);
    },
  },
  {
    name: 'networks on a link of the host and across hosts',
    run: async ({ api }) => {
      const bridge = await api.expect<{ Id: string }>('GET', '/networks/tour-net');
      const shared = { Name: 'tour-shared', Driver: 'macvlan', Options: { parent: `br-${bridge.Id.slice(0, 12)}` } };
      await api.expect('POST', '/networks/create', { body: shared });
      await api.expect('POST', '/networks/create', { body: { Name: 'tour-wide', Driver: 'overlay', Internal: true } });
      const { Id } = await api.expect<{ Id: string }>('POST', '/containers/create', {
        body: {
          Image: 'busybox',
          Cmd: ['sh', '-c', trap],
          HostConfig: { NetworkMode: 'tour-shared' },
          NetworkingConfig: { EndpointsConfig: { 'tour-shared': {}, 'tour-wide': {} } },
        },
      });
      await api.expect('POST', `/containers/${Id}/start`);
      await api.expect('DELETE', `/containers/${Id}?force=1`);
      await api.expect('DELETE', '/networks/tour-shared');
      await api.expect('DELETE', '/networks/tour-wide');
    },
  },
  {
    name: 'remove the network',
    before: ({ networks }) => networks.delete('tour-net'),
    run: async ({ api }) => void (await api.expect('DELETE', '/networks/tour-net')),
  },
  {
    name: 'remove the volume',
    before: ({ volumes }) => volumes.delete('tour-vol'),
    run: async ({ api }) => void (await api.expect('DELETE', '/volumes/tour-vol')),
  },
  {
    name: 'load an image',
    run: async ({ api, archive }) => {
      const said = await api.call('POST', '/images/load', { raw: archive, headers: { 'Content-Type': 'application/x-tar' } });
      if (said.status !== 200 || said.text.includes('errorDetail')) throw new Error(`load answered ${said.text}`);
    },
    after: ({ images }) => images.add('berth-tour:1'),
  },
  {
    name: 'tag',
    run: async ({ api, registry }) => void (await api.expect('POST', `/images/berth-tour:1/tag?repo=${registry}/tour&tag=1`)),
    after: ({ images }) => images.add('tour:1'),
  },
  {
    name: 'push',
    run: async ({ api, registry }) => {
      const said = await api.call('POST', `/images/${registry}/tour/push?tag=1`, { headers: { 'X-Registry-Auth': 'e30=' } });
      if (said.text.includes('errorDetail')) throw new Error(said.text);
    },
  },
  {
    name: 'save',
    run: async ({ api }) => void (await (await api.open('GET', '/images/berth-tour:1/get')).arrayBuffer()),
  },
  {
    name: 'remove the image',
    before: ({ images }) => {
      images.delete('tour:1');
      images.delete('berth-tour:1');
    },
    run: async ({ api, registry }) => {
      await api.expect('DELETE', `/images/${registry}/tour:1`);
      await api.expect('DELETE', '/images/berth-tour:1');
    },
  },
  {
    name: 'pull',
    run: async ({ api, registry }) => {
      const said = await api.call('POST', `/images/create?fromImage=${registry}/tour&tag=1`);
      if (said.status !== 200 || said.text.includes('errorDetail')) throw new Error(`pull answered ${said.text}`);
    },
    after: ({ images }) => images.add('tour:1'),
  },
  {
    name: 'heal a damaged layer',
    run: async ({ api, registry }) => {
      const name = `${registry}/tour:1`;
      const { GraphDriver } = await api.expect<{ GraphDriver: { Data: { UpperDir: string } | null } }>('GET', `/images/${name}/json`);
      // Drivers that keep whole trees do not tell where.
      if (GraphDriver.Data === null) return;
      writeFileSync(join(GraphDriver.Data.UpperDir, 'etc/name'), 'detour\n');
      const said = await api.call('POST', '/berth/system/verify');
      if (!said.text.includes('"Healed":true')) throw new Error(`verify answered ${said.text}`);
    },
  },
  {
    name: 'remove the pulled image',
    before: ({ images }) => images.delete('tour:1'),
    run: async ({ api, registry }) => void (await api.expect('DELETE', `/images/${registry}/tour:1`)),
  },
  {
    name: 'import',
    run: async ({ api }) => {
      const said = await api.call('POST', '/images/create?fromSrc=-&repo=imported&tag=1', {
        raw: emptyTar,
        headers: { 'Content-Type': 'application/x-tar' },
      });
      if (said.status !== 200 || said.text.includes('errorDetail')) throw new Error(`import answered ${said.text}`);
    },
    after: ({ images }) => images.add('imported:1'),
  },
  {
    name: 'remove the imported image',
    before: ({ images }) => images.delete('imported:1'),
    run: async ({ api }) => void (await api.expect('DELETE', '/images/imported:1')),
  },
  {
    name: 'build an image',
    run: async ({ api }) => {
      const { imageId, error } = await build(api, buildContext, { t: 'built:1' });
      if (imageId === undefined) throw new Error(`the build failed: ${error ?? ''}`);
    },
    after: ({ images }) => images.add('built:1'),
  },
  {
    name: 'build it again, of which everything is known',
    run: async ({ api }) => {
      const { text, error } = await build(api, buildContext, { t: 'built:2' });
      if (error !== undefined || text.match(/Using cache/g)?.length !== 4)
        throw new Error(`the cache was not used: ${error ?? ''}\n${text}`);
    },
    after: ({ images }) => images.add('built:2'),
  },
  {
    name: 'build for two platforms, with files that come over a session',
    run: async ({ api }) => await buildByCommandLine(api),
    after: ({ images }) => images.add('built:3'),
  },
  {
    name: 'remove the built image and the cache',
    before: ({ images }) => void (images.delete('built:1') && images.delete('built:2') && images.delete('built:3')),
    run: async ({ api }) => {
      await api.expect('DELETE', '/images/built:3');
      await api.expect('DELETE', '/images/built:1');
      await api.expect('DELETE', '/images/built:2');
      await api.expect('POST', '/build/prune?all=1');
    },
  },
];

const buildContext = {
  Dockerfile: [
    'FROM busybox AS first',
    'RUN --mount=type=cache,target=/cache --mount=type=bind,target=/context echo made > /made; echo kept > /cache/kept',
    'FROM busybox',
    'WORKDIR /app',
    'COPY --link a /linked/',
    'COPY --from=first /made ./',
  ].join('\n'),
  a: 'a',
};

async function buildByCommandLine({ socketPath }: ApiClient): Promise<void> {
  await using folder = await tempFolder();
  await Bun.write(join(folder.path, 'context/Dockerfile'), 'FROM scratch\nARG TARGETARCH\nCOPY file /$TARGETARCH\n');
  await Bun.write(join(folder.path, 'context/file'), 'text');
  const command = [...berthCommand(), 'build', '--platform', 'linux/amd64,linux/arm64', '-t', 'built:3', join(folder.path, 'context')];
  await runOk(command, { env: { DOCKER_HOST: `unix://${socketPath}`, DOCKER_CONFIG: folder.path } });
}

/** Two blocks of zeros end an archive; one without entries is nothing else. */
const emptyTar = new Uint8Array(1024);

/** Until it is so, four seconds at most. An error ends it: it tells that the daemon has died. */
async function repeat(check: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 200 && !(await check()); tries += 1) await Bun.sleep(20);
}

function change(name: string, run: (context: TourContext) => Promise<unknown>, then: 'running' | 'stopped'): Step {
  return {
    name,
    before: ({ containers }) => containers.set(traveller, 'any'),
    run: async context => void (await run(context)),
    after: ({ containers }) => containers.set(traveller, then),
  };
}

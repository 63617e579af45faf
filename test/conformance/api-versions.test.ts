import { expect } from 'bun:test';
import { writeTar } from '#oci/tar/writer.ts';
import { isUnified } from '#test/helpers/cgroup.ts';
import { create, sh, sharedDaemon, waiting } from '#test/helpers/containers.ts';
import { ApiClient } from '#test/helpers/http.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

type Json = Readonly<Record<string, unknown>>;

/** What changed with each version of the API, seen from both sides of the change. */
describe('API versions', () => {
  const daemon = sharedDaemon();
  const at = (version: string): ApiClient => new ApiClient(daemon().socketPath, `v${version}`);
  const get = async <T = Json>(version: string, path: string): Promise<T> => await at(version).expect<T>('GET', path);

  /** Creates a container with this version, hands over what became of it, and removes it. */
  async function createdAt<T>(
    version: string,
    body: object,
    look: (inspect: (version: string) => Promise<Json>) => Promise<T>,
  ): Promise<T> {
    const answer = await at(version).expect<{ Id: string }>('POST', '/containers/create', {
      body: { Image: 'busybox', ...body },
      status: 201,
    });
    try {
      return await look(async asked => await get(asked, `/containers/${answer.Id}/json`));
    } finally {
      await daemon().api.delete(`/containers/${answer.Id}?v=1`);
    }
  }
  const hostConfigAt = async (version: string, body: object): Promise<Json> =>
    await createdAt(version, body, async inspect => (await inspect('1.51')).HostConfig as Json);
  const refusal = async (version: string, body: object): Promise<{ status: number; message: string }> => {
    const { status, json } = await at(version).call<{ message: string }>('POST', '/containers/create', {
      body: { Image: 'busybox', ...body },
    });
    return { status, message: json.message };
  };

  test('every version from 1.24 to 1.51 runs a container to its end', async () => {
    for (let minor = 24; minor <= 51; minor++) {
      const api = at(`1.${String(minor)}`);
      const { Id } = await api.expect<{ Id: string }>('POST', '/containers/create', {
        body: { Image: 'busybox', ...sh('exit 7') },
        status: 201,
      });
      await api.expect('POST', `/containers/${Id}/start`, { status: 204 });
      expect(await api.expect('POST', `/containers/${Id}/wait`)).toMatchObject({ StatusCode: 7 });
      expect((await api.expect<Json>('GET', `/containers/${Id}/json`)).Id).toBe(Id);
      await api.expect('DELETE', `/containers/${Id}`, { status: 204 });
    }
  }, 60_000);

  test('versions outside the range and things that are none', async () => {
    const answer = async (path: string) => {
      const response = await daemon().api.get<{ message: string }>(path);
      return [response.status, response.json?.message ?? response.text];
    };
    expect(await answer('/v1.52/info')).toEqual([400, 'client version 1.52 is too new. Maximum supported API version is 1.51']);
    const tooOld = 'client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version\n';
    expect(await answer('/v1.23/info')).toEqual([400, tooOld]);
    expect(await answer('/v1.24.1/info')).toEqual([400, 'invalid API version "1.24.1": expected two numbers such as 1.51']);
    expect(await answer('/vx/info')).toEqual([404, 'page not found']);
  });

  test('files of containers are the same in every version', async () => {
    const id = await create(daemon(), waiting());
    await daemon().api.expect('POST', `/containers/${id}/start`, { status: 204 });
    const tar = new Uint8Array(Buffer.concat(await Array.fromAsync(writeTar([{ entry: { name: 'put' }, content: Buffer.from('x') }]))));
    const answers = async (version: string): Promise<unknown> => {
      const api = at(version);
      const put = await api.call('PUT', `/containers/${id}/archive?path=/tmp&noOverwriteDirNonDir=true&copyUIDGID=1`, { raw: tar });
      const head = await api.call('HEAD', `/containers/${id}/archive?path=/tmp/put`);
      const copied = await api.open('GET', `/containers/${id}/archive?path=/tmp/put`);
      const exported = await api.open('GET', `/containers/${id}/export`);
      const changes = await api.expect('GET', `/containers/${id}/changes`);
      const commit = await api.post<{ Id: string }>(`/commit?container=${id}&pause=0&changes=USER+x`, { Cmd: ['y'] });
      const { Config } = await get<{ Config: { User: string; Cmd: string[] } }>('1.51', `/images/${commit.json.Id}/json`);
      await daemon().api.expect('DELETE', `/images/${commit.json.Id}`);
      return {
        put: [put.status, put.text],
        head: [head.status, head.headers.get('x-docker-container-path-stat'), head.headers.get('content-type')],
        copied: [copied.status, copied.headers.get('content-type'), (await copied.arrayBuffer()).byteLength],
        exported: [exported.status, exported.headers.get('content-type'), (await exported.arrayBuffer()).byteLength > 0],
        changes,
        commit: [commit.status, Object.keys(commit.json), Config.User, Config.Cmd],
        gone: (await api.post(`/containers/${id}/copy`, { Resource: '/tmp' })).status,
      };
    };
    const newest = await answers('1.51');
    expect(await answers('1.24')).toEqual(newest);
    expect(newest).toMatchObject({ put: [200, ''], commit: [201, ['Id'], 'x', ['y']], gone: 404 });
    await daemon().api.delete(`/containers/${id}?force=1`);
  });

  test('1.25: prunes exist, security options have names', async () => {
    for (const noun of ['containers', 'images', 'networks', 'volumes']) {
      const { status, json } = await at('1.24').call<{ message: string }>('POST', `/${noun}/prune`);
      expect([status, json.message]).toEqual([400, `POST /${noun}/prune requires minimum API version 1.25`]);
    }
    expect((await get('1.24', '/info')).SecurityOptions).toContain('seccomp');
    expect((await get('1.25', '/info')).SecurityOptions).toContain('name=seccomp,profile=builtin');
  });

  test('1.28: lists of networks name no containers', async () => {
    const id = await create(daemon(), waiting());
    await daemon().api.expect('POST', `/containers/${id}/start`, { status: 204 });
    const containersOn = async (version: string) => {
      const networks = await get<readonly { Name: string; Containers: object }[]>(version, '/networks');
      return Object.keys(networks.find(({ Name }) => Name === 'bridge')?.Containers ?? {});
    };
    expect(await containersOn('1.27')).toEqual([id]);
    expect(await containersOn('1.28')).toEqual([]);
    await daemon().api.delete(`/containers/${id}?force=1`);
  });

  test('1.30: waiting has conditions, and tells at once that it waits', async () => {
    const id = await create(daemon(), sh('true'));
    // Not running: the condition that older versions do not know would wait for ever.
    expect(await at('1.29').expect('POST', `/containers/${id}/wait?condition=next-exit`)).toMatchObject({ StatusCode: 0 });
    const response = await at('1.30').open('POST', `/containers/${id}/wait?condition=next-exit`);
    expect(response.status).toBe(200);
    await daemon().api.expect('POST', `/containers/${id}/start`, { status: 204 });
    expect(await response.json()).toMatchObject({ StatusCode: 0 });
    await daemon().api.delete(`/containers/${id}`);
  });

  test('1.30 and 1.31: routes that came', async () => {
    expect((await at('1.29').get<{ message: string }>('/distribution/busybox/json')).json.message).toContain('minimum API version 1.30');
    expect((await at('1.30').post<{ message: string }>('/build/prune')).json.message).toContain('minimum API version 1.31');
  });

  test('1.40: ipc namespaces are private unless asked otherwise', async () => {
    expect((await hostConfigAt('1.39', {})).IpcMode).toBe('shareable');
    expect((await hostConfigAt('1.40', {})).IpcMode).toBe('private');
    expect((await hostConfigAt('1.39', { HostConfig: { IpcMode: 'private' } })).IpcMode).toBe('private');
  });

  test('1.41: cgroup namespaces are private on cgroup v1 too; platforms of containers', async () => {
    expect((await hostConfigAt('1.40', {})).CgroupnsMode).toBe(isUnified() ? 'private' : 'host');
    expect((await hostConfigAt('1.41', {})).CgroupnsMode).toBe('private');
    const other = process.arch === 'arm64' ? 'linux/amd64' : 'linux/arm64';
    const answer = async (version: string) =>
      await at(version).post<{ Id: string }>(`/containers/create?platform=${other}`, { Image: 'busybox' });
    const ignored = await answer('1.40');
    expect(ignored.status).toBe(201);
    await daemon().api.delete(`/containers/${ignored.json.Id}`);
    expect((await answer('1.41')).status).toBe(404);
  });

  test('1.42: console sizes, CreateMountpoint, the type of framed streams, volume prune, kernel memory', async () => {
    const sized = { HostConfig: { ConsoleSize: [24, 80] } };
    expect((await hostConfigAt('1.41', sized)).ConsoleSize).toEqual([0, 0]);
    expect((await hostConfigAt('1.42', sized)).ConsoleSize).toEqual([24, 80]);
    const mount = { HostConfig: { Mounts: [{ Type: 'bind', Source: '/no/such', Target: '/x', BindOptions: { CreateMountpoint: true } }] } };
    expect(await refusal('1.41', mount)).toMatchObject({
      status: 400,
      message: expect.stringContaining('bind source path does not exist'),
    });
    const id = await create(daemon(), sh('true'));
    const typeAt = async (version: string) =>
      (await at(version).open('GET', `/containers/${id}/logs?stdout=1`)).headers.get('content-type');
    expect(await typeAt('1.41')).toBe('application/vnd.docker.raw-stream');
    expect(await typeAt('1.42')).toBe('application/vnd.docker.multiplexed-stream');
    await daemon().api.delete(`/containers/${id}`);
    for (const [version, left] of [
      ['1.42', true],
      ['1.41', false],
    ] as const) {
      await daemon().api.post('/volumes/create', { Name: 'named' });
      await at(version).expect('POST', '/volumes/prune');
      expect((await daemon().api.get('/volumes/named')).status).toBe(left ? 200 : 404);
    }
    expect(await get('1.41', '/info')).toMatchObject({ KernelMemory: false, KernelMemoryTCP: false });
    expect(await get('1.42', '/info')).not.toHaveProperty('KernelMemoryTCP');
    await createdAt('1.51', {}, async inspect => {
      expect((await inspect('1.41')).HostConfig).toHaveProperty('KernelMemory', 0);
      expect((await inspect('1.42')).HostConfig).not.toHaveProperty('KernelMemory');
    });
  });

  test('1.43: annotations; images without a name', async () => {
    const annotated = { HostConfig: { Annotations: { a: 'b' } } };
    expect(await hostConfigAt('1.42', annotated)).not.toHaveProperty('Annotations');
    expect((await hostConfigAt('1.43', annotated)).Annotations).toEqual({ a: 'b' });
    const empty = new Uint8Array(1024);
    await daemon().api.expect('POST', '/images/create?fromSrc=-', { raw: empty, headers: { 'Content-Type': 'application/x-tar' } });
    const nameless = async (version: string) => {
      const filters = encodeURIComponent('{"dangling":["true"]}');
      const [image] = await get<readonly Json[]>(version, `/images/json?filters=${filters}`);
      return [image?.RepoTags, image?.RepoDigests];
    };
    expect(await nameless('1.42')).toEqual([['<none>:<none>'], ['<none>@<none>']]);
    expect(await nameless('1.43')).toEqual([[], []]);
    await daemon().api.expect('POST', '/images/prune');
  });

  test('1.44: several networks, VirtualSize, health check intervals at the start, read-only mounts', async () => {
    await daemon().api.expect('POST', '/networks/create', { body: { Name: 'second' }, status: 201 });
    const two = { NetworkingConfig: { EndpointsConfig: { bridge: {}, second: {} } } };
    expect(await refusal('1.43', two)).toMatchObject({
      status: 400,
      message: expect.stringContaining('cannot be connected to network endpoints'),
    });
    await createdAt('1.44', two, async inspect => {
      const { Networks } = (await inspect('1.51')).NetworkSettings as { Networks: object };
      expect(Object.keys(Networks).sort()).toEqual(['bridge', 'second']);
    });
    await daemon().api.expect('DELETE', '/networks/second', { status: 204 });
    expect(await get('1.43', '/images/busybox/json')).toHaveProperty('VirtualSize');
    expect(await get('1.44', '/images/busybox/json')).not.toHaveProperty('VirtualSize');
    expect((await get<readonly Json[]>('1.43', '/images/json'))[0]).toHaveProperty('VirtualSize');
    expect((await get<readonly Json[]>('1.44', '/images/json'))[0]).not.toHaveProperty('VirtualSize');
    const health = { Healthcheck: { Test: ['CMD', 'true'], StartInterval: 1_000_000_000 } };
    const configAt = async (version: string) => await createdAt(version, health, async inspect => (await inspect('1.51')).Config as Json);
    expect((await configAt('1.43')).Healthcheck).not.toHaveProperty('StartInterval');
    expect((await configAt('1.44')).Healthcheck).toHaveProperty('StartInterval', 1_000_000_000);
    const bind = (more: object) => ({ HostConfig: { Mounts: [{ Type: 'bind', Source: '/tmp', Target: '/x', ...more }] } });
    expect((await hostConfigAt('1.43', bind({}))).Mounts).toEqual([{ Type: 'bind', Source: '/tmp', Target: '/x' }]);
    expect((await hostConfigAt('1.43', bind({ ReadOnly: true }))).Mounts).toMatchObject([{ BindOptions: { ReadOnlyNonRecursive: true } }]);
    expect((await hostConfigAt('1.44', bind({ ReadOnly: true }))).Mounts).toEqual([
      { Type: 'bind', Source: '/tmp', Target: '/x', ReadOnly: true },
    ]);
    const forced = bind({ ReadOnly: true, BindOptions: { ReadOnlyForceRecursive: true, Propagation: 'rprivate' } });
    expect(await refusal('1.43', forced)).toMatchObject({ status: 400, message: expect.stringContaining('needs API v1.44') });
  });

  test('1.45: subpaths of volumes, aliases, the container of an image', async () => {
    const sub = { HostConfig: { Mounts: [{ Type: 'volume', Source: 'subbed', Target: '/x', VolumeOptions: { Subpath: 'a' } }] } };
    expect(await refusal('1.44', sub)).toMatchObject({ status: 400, message: expect.stringContaining('needs API v1.45') });
    await daemon().api.expect('POST', '/networks/create', { body: { Name: 'named' }, status: 201 });
    await createdAt('1.51', { HostConfig: { NetworkMode: 'named' } }, async inspect => {
      const aliasesAt = async (version: string) => {
        const { Id, NetworkSettings } = (await inspect(version)) as {
          Id: string;
          NetworkSettings: { Networks: { named: { Aliases: string[] } } };
        };
        return { short: Id.slice(0, 12), aliases: NetworkSettings.Networks.named.Aliases };
      };
      const old = await aliasesAt('1.44');
      expect(old.aliases).toContain(old.short);
      expect((await aliasesAt('1.45')).aliases ?? []).not.toContain(old.short);
    });
    await daemon().api.expect('DELETE', '/networks/named', { status: 204 });
    expect((await get('1.44', '/images/busybox/json')).ContainerConfig).toMatchObject({ Cmd: ['sh'] });
    expect(await get('1.45', '/images/busybox/json')).not.toHaveProperty('ContainerConfig');
  });

  test('1.46: annotations in lists', async () => {
    await createdAt('1.51', { HostConfig: { Annotations: { a: 'b' } } }, async () => {
      const listed = async (version: string) => (await get<readonly Json[]>(version, '/containers/json?all=1'))[0]?.HostConfig;
      expect(await listed('1.45')).not.toHaveProperty('Annotations');
      expect(await listed('1.46')).toHaveProperty('Annotations', { a: 'b' });
    });
  });

  test('1.48: image mounts, EnableIPv4', async () => {
    const mount = { HostConfig: { Mounts: [{ Type: 'image', Source: 'busybox', Target: '/x' }] } };
    expect(await refusal('1.47', mount)).toMatchObject({ status: 400, message: expect.stringContaining('needs API v1.48') });
    expect(await get('1.47', '/networks/bridge')).not.toHaveProperty('EnableIPv4');
    expect(await get('1.48', '/networks/bridge')).toHaveProperty('EnableIPv4', true);
  });

  test('1.49: the platform of an image, the firewall', async () => {
    const path = `/images/busybox/json?platform=${encodeURIComponent('{"os":"linux","architecture":"s390x"}')}`;
    expect((await at('1.48').get(path)).status).toBe(200);
    expect((await at('1.49').get(path)).status).toBe(404);
    expect(await get('1.48', '/info')).not.toHaveProperty('FirewallBackend');
    expect(await get('1.49', '/info')).toHaveProperty('FirewallBackend');
    expect((await get('1.48', '/info')).RegistryConfig).toHaveProperty('AllowNondistributableArtifactsCIDRs', null);
    expect((await get('1.49', '/info')).RegistryConfig).not.toHaveProperty('AllowNondistributableArtifactsCIDRs');
  });

  test('1.50 and 1.51: expected commits, bridge switches, containers of images', async () => {
    expect(await get('1.49', '/info')).toMatchObject({ BridgeNfIptables: false, RuncCommit: { Expected: expect.any(String) } });
    expect(await get('1.50', '/info')).not.toHaveProperty('BridgeNfIptables');
    await createdAt('1.51', {}, async () => {
      expect((await get<readonly Json[]>('1.50', '/images/json'))[0]).toHaveProperty('Containers', -1);
      expect((await get<readonly Json[]>('1.51', '/images/json'))[0]).toHaveProperty('Containers', 1);
      expect((await get<{ Images: readonly Json[] }>('1.41', '/system/df')).Images[0]).toHaveProperty('Containers', 1);
    });
  });
});

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'bun:test';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { ApiClient, type Answer, type Method } from '#test/helpers/http.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

const query = (filters: object): string => encodeURIComponent(JSON.stringify(filters));

/** A body for POST /containers/create, the status and what the message must contain. */
type Refused = readonly [body: object, status: number, message: string];
const host = (hostConfig: object, more: object = {}): object => ({ ...more, HostConfig: hostConfig });
const mounts = (...all: readonly object[]): object => host({ Mounts: all });
const endpoint = (name: string, settings: object): object => ({ NetworkingConfig: { EndpointsConfig: { [name]: settings } } });

/** Texts that Docker's clients and users know are given in full. */
const refusedCreates: readonly Refused[] = [
  [{ Image: '' }, 400, 'no image specified'],
  [{ Image: 'nope' }, 404, 'No such image: nope:latest'],
  [{ Image: 'UPPER' }, 400, 'invalid reference format: repository name (library/UPPER) must be lowercase'],
  [{ Image: 'a b' }, 400, 'invalid reference format'],
  [{ Image: 5 }, 400, 'cannot unmarshal number 5 into field ContainerCreateRequest.Image'],
  [{ Env: 'A=b' }, 400, 'ContainerCreateRequest.Env: expected an array'],
  [{ Env: [1] }, 400, 'ContainerCreateRequest.Env[0]: expected a string'],
  [{ Env: ['=b'] }, 400, 'invalid environment variable: =b'],
  [{ Labels: { a: 1 } }, 400, 'ContainerCreateRequest.Labels["a"]: expected a string'],
  [{ Tty: 'yes' }, 400, 'ContainerCreateRequest.Tty: expected true or false'],
  [{ StopTimeout: 1.5 }, 400, 'ContainerCreateRequest.StopTimeout: expected a whole number'],
  [{ StopSignal: 'NOPE' }, 400, 'nvalid signal: NOPE'],
  [{ WorkingDir: 'relative' }, 400, "the working directory 'relative' is invalid, it needs to be an absolute path"],
  [{ Hostname: 'bad host' }, 400, 'invalid hostname format: bad host'],
  [{ ExposedPorts: { '80/xxx': {} } }, 400, '80/xxx'],
  [{ ExposedPorts: { '99999/tcp': {} } }, 400, '99999/tcp'],
  [{ Volumes: { relative: {} } }, 400, "invalid mount path: 'relative' mount path must be absolute"],
  [{ Volumes: { '/': {} } }, 400, "destination can't be '/'"],
  [{ Healthcheck: { Test: ['CMD', 'true'], Interval: 1 } }, 400, 'Interval in Healthcheck cannot be less than 1ms'],
  [{ Healthcheck: { Test: ['CMD', 'true'], Retries: -1 } }, 400, 'Retries in Healthcheck cannot be negative'],
  [{ MacAddress: 'zz' }, 400, 'invalid MAC address: zz'],
  [host({ Memory: 1 }), 400, 'Minimum memory limit allowed is 6MB'],
  [host({ Memory: 'much' }), 400, 'HostConfig.Memory: expected a whole number'],
  [host({ Memory: 10_000_000, MemorySwap: 1_000_000 }), 400, 'Minimum memoryswap limit should be larger than memory limit, see usage'],
  [host({ MemorySwap: 10_000_000 }), 400, 'You should always set the Memory limit when using Memoryswap limit, see usage'],
  [host({ Memory: 10_000_000, MemoryReservation: 20_000_000 }), 400, 'Minimum memory limit can not be less than memory reservation limit'],
  [host({ MemorySwappiness: 200 }), 400, 'memory swappiness'],
  [host({ NanoCpus: 1e15 }), 400, 'ange of CPUs is from 0.01 to '],
  [host({ NanoCpus: 1e9, CpuQuota: 50_000 }), 400, 'Conflicting options: Nano CPUs and CPU Quota cannot both be set'],
  [host({ NanoCpus: 1e9, CpuPeriod: 50_000 }), 400, 'Conflicting options: Nano CPUs and CPU Period cannot both be set'],
  [host({ CpuPeriod: 1 }), 400, 'CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)'],
  [host({ CpuQuota: 1 }), 400, 'CPU cfs quota can not be less than 1ms (i.e. 1000)'],
  [host({ CpusetCpus: 'x' }), 400, 'Invalid value x for cpuset cpus'],
  [host({ CpusetCpus: '9999' }), 400, 'Requested CPUs are not available - requested 9999'],
  [host({ OomScoreAdj: 2000 }), 400, 'Invalid value 2000, range for oom score adj is [-1000, 1000]'],
  [host({ ShmSize: -1 }), 400, 'SHM size can not be less than 0'],
  [host({ RestartPolicy: { Name: 'sometimes' } }), 400, "unknown policy 'sometimes'"],
  [host({ RestartPolicy: { Name: 'always', MaximumRetryCount: 3 } }), 400, 'maximum retry count can'],
  [host({ RestartPolicy: { Name: 'always' }, AutoRemove: true }), 400, "can't create 'AutoRemove' container with restart policy"],
  [host({ NetworkMode: 'container:nope' }), 400, 'No such container: nope'],
  [host({ PortBindings: { 'x/tcp': [{}] } }), 400, 'invalid port specification'],
  [host({ PortBindings: { '80/tcp': [{ HostPort: 'x' }] } }), 400, 'invalid port specification: "x"'],
  [host({ PortBindings: { '80/tcp': [{ HostPort: '99999' }] } }), 400, 'invalid port specification: "99999"'],
  [host({ PortBindings: { '80/tcp': [{ HostIp: 'x', HostPort: '9' }] } }), 400, '"x"'],
  [host({ Binds: ['relative'] }), 400, "invalid mount path: 'relative' mount path must be absolute"],
  [host({ Binds: ['/a:b'] }), 400, "invalid volume specification: '/a:b'"],
  [host({ Binds: ['/a:/b:zz'] }), 400, 'invalid mode: zz'],
  [host({ Binds: ['/a:/'] }), 400, "destination can't be '/'"],
  [host({ Binds: ['/a:/b', '/c:/b'] }), 400, 'Duplicate mount point: /b'],
  [host({ Binds: ['bad!name:/b'] }), 400, 'includes invalid characters for a local volume name'],
  [mounts({ Type: 'bind', Source: '/no/such', Target: '/x' }), 400, 'bind source path does not exist: /no/such'],
  [mounts({ Type: 'bind', Source: 'relative', Target: '/x' }), 400, 'must be absolute'],
  [mounts({ Type: 'what', Target: '/x' }), 400, 'mount type unknown'],
  [mounts({ Type: 'bind', Source: '/tmp' }), 400, 'field Target must not be empty'],
  [mounts({ Type: 'tmpfs', Source: '/tmp', Target: '/x' }), 400, 'field Source must not be specified'],
  [mounts({ Type: 'bind', Source: '/tmp', Target: '/x', VolumeOptions: {} }), 400, 'field VolumeOptions must not be specified'],
  [mounts({ Type: 'volume', Target: '/x' }, { Type: 'volume', Target: '/x' }), 400, 'Duplicate mount point: /x'],
  [host({ Tmpfs: { relative: '' } }), 400, 'must be absolute'],
  [host({ CapAdd: ['NOPE'] }), 400, 'unknown capability: "CAP_NOPE"'],
  [host({ CapDrop: ['NOPE'] }), 400, 'unknown capability: "CAP_NOPE"'],
  [host({ SecurityOpt: ['what'] }), 400, 'invalid --security-opt 1: "what"'],
  [host({ SecurityOpt: ['what=ever'] }), 400, 'invalid --security-opt 2: "what=ever"'],
  [host({ SecurityOpt: ['seccomp={'] }), 400, 'Decoding seccomp profile failed'],
  [host({ IpcMode: 'what' }), 400, 'invalid IPC mode: what'],
  [host({ PidMode: 'what' }), 400, 'invalid PID mode: what'],
  [host({ UTSMode: 'what' }), 400, 'invalid UTS mode: what'],
  [host({ CgroupnsMode: 'what' }), 400, 'invalid cgroup namespace mode: what'],
  [host({ Runtime: 'what' }), 400, 'unknown or invalid runtime name: what'],
  [host({ LogConfig: { Type: 'what' } }), 400, 'what'],
  [host({ LogConfig: { Type: 'json-file', Config: { what: 'x' } } }), 400, "unknown log opt 'what' for json-file log driver"],
  [host({ LogConfig: { Type: 'json-file', Config: { 'max-size': 'x' } } }), 400, "invalid size: 'x'"],
  [host({ Ulimits: [{ Name: 'what', Soft: 1, Hard: 1 }] }), 400, 'invalid ulimit type: what'],
  [host({ Ulimits: [{ Name: 'nofile', Soft: 5, Hard: 1 }] }), 400, 'ulimit soft limit must be less than or equal to hard limit: 5 > 1'],
  [host({ Devices: [{ PathOnHost: '/dev/nope' }] }), 400, '"/dev/nope": no such file or directory'],
  [host({ DeviceCgroupRules: ['what'] }), 400, "invalid device cgroup rule format: 'what'"],
  [host({ StorageOpt: { size: '1G' } }), 400, '--storage-opt'],
  [host({ ExtraHosts: ['what'] }), 400, 'bad format for add-host: "what"'],
  [host({ Dns: ['what'] }), 400, 'what'],
  [host({ VolumesFrom: ['nope'] }), 400, 'nope'],
  [
    endpoint('bridge', { IPAMConfig: { IPv4Address: '192.0.2.9' } }),
    400,
    'user specified IP address is supported on user defined networks only',
  ],
];

/** Everything else: method, path, status, what the message must contain, and a body or raw bytes. */
const refusedCalls: readonly (readonly [Method, string, number, string, (object | string)?])[] = [
  ['POST', '/containers/create', 400, 'invalid JSON: ', '{'],
  ['POST', '/containers/create', 400, 'invalid JSON: ', '{} {}'],
  ['POST', '/containers/create', 400, 'expected an object', '[]'],
  ['POST', '/containers/create', 400, 'got EOF while reading request body', ''],
  [
    'POST',
    '/containers/create?name=a%20b',
    400,
    'Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed',
    { Image: 'busybox' },
  ],
  ['POST', '/containers/create?name=taken', 409, 'The container name "/taken" is already in use by container "', { Image: 'busybox' }],
  ['POST', '/containers/create?platform=a/b/c/d', 400, 'invalid platform "a/b/c/d"', { Image: 'busybox' }],
  ['GET', '/containers/nope/json', 404, 'No such container: nope'],
  ['POST', '/containers/nope/start', 404, 'No such container: nope'],
  ['POST', '/containers/nope/stop', 404, 'No such container: nope'],
  ['POST', '/containers/nope/kill', 404, 'No such container: nope'],
  ['POST', '/containers/nope/wait', 404, 'No such container: nope'],
  ['POST', '/containers/nope/exec', 404, 'No such container: nope', { Cmd: ['x'] }],
  ['POST', '/containers/taken/exec', 409, 'is not running', { Cmd: ['x'] }],
  ['POST', '/containers/taken/kill', 409, 'is not running'],
  ['POST', '/containers/taken/kill?signal=NOPE', 400, 'nvalid signal: NOPE'],
  ['POST', '/containers/taken/stop?t=x', 400, 'strconv.Atoi: parsing "x": invalid syntax'],
  ['POST', '/containers/taken/rename?name=', 400, 'ame'],
  ['POST', '/containers/taken/rename?name=a%20b', 400, 'Invalid container name (/a b)'],
  ['POST', '/containers/taken/wait?condition=what', 400, 'what'],
  ['POST', '/containers/taken/resize?h=x&w=1', 400, 'invalid resize parameter h="x"'],
  ['GET', '/containers/taken/logs', 400, 'you must choose at least one stream'],
  ['GET', '/containers/taken/logs?stdout=1&since=x', 400, 'since'],
  ['GET', '/containers/json?limit=x', 400, 'strconv.Atoi: parsing "x": invalid syntax'],
  ['GET', '/containers/json?filters=%7B', 400, 'invalid filter'],
  ['GET', '/containers/json?filters=[]', 400, 'invalid filter'],
  ['GET', `/containers/json?filters=${query({ what: ['x'] })}`, 400, "invalid filter 'what'"],
  ['GET', `/containers/json?filters=${query({ status: ['x'] })}`, 400, "invalid filter 'status=x'"],
  ['GET', `/containers/json?filters=${query({ exited: ['x'] })}`, 400, 'exited'],
  ['GET', `/containers/json?filters=${query({ before: ['nope'] })}`, 404, 'No such container: nope'],
  ['POST', `/containers/prune?filters=${query({ until: ['x'] })}`, 400, 'invalid time "x"'],
  ['POST', '/exec/nope/start', 404, 'No such exec instance: nope', {}],
  ['GET', '/images/nope/json', 404, 'No such image: nope:latest'],
  ['DELETE', '/images/nope', 404, 'No such image: nope:latest'],
  ['DELETE', '/images/busybox', 409, 'conflict: unable to remove repository reference "busybox"'],
  ['POST', '/images/busybox/tag?repo=UPPER', 400, 'must be lowercase'],
  ['POST', '/images/busybox/tag?repo=x&tag=a%20b', 400, 'invalid tag format'],
  ['POST', '/images/create', 400, 'fromImage'],
  ['POST', '/images/create?fromImage=UPPER', 400, 'must be lowercase'],
  ['POST', '/images/nope/push?tag=x', 404, 'An image does not exist locally with the tag: nope'],
  ['POST', '/images/busybox/push?tag=x', 404, 'tag does not exist: busybox:x'],
  ['GET', '/images/get', 400, 'no images to save'],
  ['GET', '/images/nope/get', 404, 'No such image: nope:latest'],
  ['GET', `/images/json?filters=${query({ dangling: ['x'] })}`, 400, "invalid filter 'dangling=[x]'"],
  ['GET', '/images/busybox/json?platform=what', 400, 'platform'],
  ['GET', '/networks/nope', 404, 'network nope not found'],
  ['DELETE', '/networks/bridge', 403, 'bridge is a pre-defined network and cannot be removed'],
  ['POST', '/networks/create', 400, 'name', {}],
  ['POST', '/networks/create', 403, 'operation is not permitted on predefined bridge network', { Name: 'bridge' }],
  ['POST', '/networks/create', 400, 'a b', { Name: 'a b' }],
  ['POST', '/networks/create', 404, 'nope', { Name: 'left', Driver: 'nope' }],
  ['POST', '/networks/create', 400, 'invalid subnet x', { Name: 'left', IPAM: { Config: [{ Subnet: 'x' }] } }],
  ['POST', '/networks/create', 400, '10.8.0.1', { Name: 'left', IPAM: { Config: [{ Subnet: '10.9.0.0/24', Gateway: '10.8.0.1' }] } }],
  ['POST', '/networks/bridge/connect', 404, 'No such container: nope', { Container: 'nope' }],
  ['POST', '/networks/bridge/connect', 400, 'invalid name or ID supplied: ""', {}],
  ['GET', `/networks?filters=${query({ what: ['x'] })}`, 400, "invalid filter 'what'"],
  ['GET', '/volumes/nope', 404, 'get nope: no such volume'],
  ['POST', '/volumes/create', 400, 'includes invalid characters for a local volume name', { Name: 'a b' }],
  ['POST', '/volumes/create', 404, 'error looking up volume plugin nope: plugin "nope" not found', { Name: 'left', Driver: 'nope' }],
  ['POST', '/volumes/create', 400, 'invalid option: "what"', { Name: 'left', DriverOpts: { what: 'x' } }],
  ['POST', '/volumes/create', 400, 'missing required option: "device"', { Name: 'left', DriverOpts: { type: 'tmpfs' } }],
  ['GET', '/events?since=x', 400, 'since'],
  ['GET', '/events?since=5&until=4', 400, '`since` time cannot be after `until` time'],
  ['GET', `/events?since=1&until=2&filters=${query({ what: ['x'] })}`, 400, "invalid filter 'what'"],
  ['GET', '/system/df?type=what', 400, 'unknown object type: what'],
  ['POST', '/auth', 400, 'invalid JSON: ', '{'],
  ['GET', '/containers/%zz/json', 400, 'invalid URL escape'],
  ['GET', '/no/such/path', 404, 'page not found'],
  ['PUT', '/containers/json', 404, 'page not found'],
  ['POST', '/build', 400, 'Cannot locate specified Dockerfile: Dockerfile'],
  ['POST', '/build?t=a:b:c', 400, 'invalid reference format'],
  ['POST', '/build?buildargs=x', 400, 'invalid JSON'],
  ['POST', '/build?buildargs=[]', 400, 'buildargs'],
  ['POST', '/build?platform=x/y/z/a', 400, 'invalid platform "x/y/z/a"'],
  ['POST', '/build?remote=what', 400, 'neither a Git repository nor a URL'],
  ['POST', '/build/cancel', 400, 'build ID not provided'],
  ['POST', `/build/prune?filters=${query({ what: ['x'] })}`, 400, "invalid filter 'what'"],
  ['POST', '/grpc', 400, 'HTTP/2'],
  ['GET', '/swarm', 503, 'This node is not a swarm manager.'],
];

describe('bad input', () => {
  const daemon = sharedDaemon();
  const message = (answer: Answer): string => (answer.json as { message?: string } | undefined)?.message ?? answer.text;

  /** What a refused request could have left behind. */
  async function everything(): Promise<object> {
    const ids = async (path: string, key: string): Promise<string[]> => {
      const all = await daemon().api.expect<readonly Record<string, string>[] | { Volumes: readonly Record<string, string>[] }>(
        'GET',
        path,
      );
      return ('Volumes' in all ? all.Volumes : all).map(each => each[key] ?? '').sort();
    };
    return {
      containers: await ids('/containers/json?all=1', 'Id'),
      images: await ids('/images/json?all=1', 'Id'),
      networks: await ids('/networks', 'Id'),
      volumes: await ids('/volumes', 'Name'),
      layers: readdirSync(join(daemon().dataRoot, 'layers')).sort(),
      folders: readdirSync(join(daemon().dataRoot, 'containers')).sort(),
    };
  }

  test('every bad value of a new container is refused with what is wrong, and nothing is left', async () => {
    const before = await everything();
    const seen = [];
    for (const [body, status, text] of refusedCreates) {
      const answer = await daemon().api.post('/containers/create', { Image: 'busybox', ...body });
      if (answer.status !== status || !message(answer).includes(text))
        seen.push({ body: JSON.stringify(body), answer: [answer.status, message(answer)], expected: [status, text] });
    }
    expect(seen).toEqual([]);
    expect(await everything()).toEqual(before);
  });

  test('every other bad request too', async () => {
    await daemon().api.expect('POST', '/containers/create?name=taken', { body: { Image: 'busybox' }, status: 201 });
    const before = await everything();
    const seen = [];
    for (const [method, path, status, text, body] of refusedCalls) {
      const options =
        body === undefined
          ? {}
          : { raw: typeof body === 'string' ? body : JSON.stringify(body), headers: { 'Content-Type': 'application/json' } };
      const answer = await daemon().api.call(method, path, options);
      if (answer.status !== status || !message(answer).includes(text))
        seen.push({ call: `${method} ${path}`, answer: [answer.status, message(answer)], expected: [status, text] });
    }
    expect(seen).toEqual([]);
    expect(await everything()).toEqual(before);
    await daemon().api.expect('DELETE', '/containers/taken', { status: 204 });
  });

  test('a body that is not called JSON', async () => {
    const post = async (type: string) =>
      await daemon().api.call('POST', '/containers/create', { raw: '{"Image":"nope"}', headers: { 'Content-Type': type } });
    expect(message(await post('text/plain'))).toBe("unsupported Content-Type header (text/plain): must be 'application/json'");
    expect((await post('application/json; charset=utf-8')).status).toBe(404);
  });

  test('archives that are none are refused and leave nothing', async () => {
    const before = await everything();
    const tar = { 'Content-Type': 'application/x-tar' };
    for (const [path, raw] of [
      ['/images/load', 'this is no archive'],
      ['/images/load', new Uint8Array(10_240)],
      ['/images/create?fromSrc=-&repo=left', 'this is no archive'],
    ] as const) {
      const answer = await daemon().api.call('POST', path, { raw, headers: tar });
      expect([path, answer.status >= 400 || answer.text.includes('errorDetail')]).toEqual([path, true]);
    }
    const answer = await daemon().api.call('POST', '/images/create?fromSrc=-&repo=left&changes=WHAT%20x', { raw: '', headers: tar });
    expect([answer.status, message(answer)]).toEqual([400, expect.stringContaining('WHAT')]);
    expect(await everything()).toEqual(before);
  });

  test('a registry that cannot be reached is named, with a status and without leftovers', async () => {
    const before = await everything();
    const answer = await daemon().api.post('/images/create?fromImage=127.0.0.1:1/x&tag=y');
    expect(answer.status).toBeGreaterThanOrEqual(500);
    expect(message(answer)).toContain('dial tcp 127.0.0.1:1: connect: connection refused');
    expect(await everything()).toEqual(before);
  });

  test('bytes that are no HTTP get an answer and do not hurt', async () => {
    const { connect } = await import('node:net');
    const said = await new Promise<string>(resolve => {
      let text = '';
      const socket = connect({ path: daemon().socketPath }, () => socket.write('\x16\x03\x01 no http\r\n\r\n'));
      socket.on('data', chunk => (text += String(chunk)));
      socket.on('close', () => resolve(text));
    });
    expect(said).toStartWith('HTTP/1.1 400 Bad Request');
    expect((await new ApiClient(daemon().socketPath).get('/_ping')).text).toBe('OK');
  });
});

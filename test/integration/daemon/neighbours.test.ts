import { afterAll, beforeAll, expect } from 'bun:test';
import { inspect, outputOf, start, waiting } from '#test/helpers/containers.ts';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { startDockerd } from '#test/helpers/dockerd.ts';
import { needs } from '#test/helpers/needs.ts';
import { runOk } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

/** Several daemons on one machine: nobody sees, stops or cleans away what belongs to another. */
describe('two daemons side by side', () => {
  let first: TestDaemon;
  let second: TestDaemon;
  beforeAll(async () => {
    [first, second] = [await startDaemon({ comparesMachine: false }), await startDaemon({ comparesMachine: false })];
  }, 60_000);
  afterAll(async () => {
    await second?.[Symbol.asyncDispose]();
    await first?.[Symbol.asyncDispose]();
  }, 60_000);

  test('know only their own containers, networks and volumes, also by the same names', async () => {
    for (const [daemon, word] of [
      [first, 'one'],
      [second, 'two'],
    ] as const) {
      await daemon.api.expect('POST', '/networks/create', { body: { Name: 'same' } });
      await daemon.api.expect('POST', '/volumes/create', { body: { Name: 'same' } });
      await start(daemon, waiting({ HostConfig: { Binds: ['same:/data'], NetworkMode: 'same' } }), 'same');
      await outputOf(daemon, `echo ${word} > /data/word`, { HostConfig: { Binds: ['same:/data'] } });
    }
    for (const [daemon, word] of [
      [first, 'one'],
      [second, 'two'],
    ] as const) {
      expect((await daemon.api.expect<object[]>('GET', '/containers/json?all=1')).length).toBe(1);
      expect(await outputOf(daemon, 'cat /data/word', { HostConfig: { Binds: ['same:/data'] } })).toBe(word);
    }
  });

  test('one that ends and starts leaves the other’s containers, networks and rules as they are', async () => {
    const { State, NetworkSettings } = await inspect(second, 'same');
    const rules = async (): Promise<string> =>
      (await runOk(['nft', 'list', 'ruleset'])).split(/(?=^table )/m).find(table => table.includes(bridgeOf(second))) ?? '';
    const before = await rules();
    expect(before).not.toBe('');
    await first.stop();
    expect(await rules()).toBe(before);
    await first.start();
    await first.kill();
    await first.start();
    expect((await inspect(first, 'same')).State.Running).toBe(true);
    const after = await inspect(second, 'same');
    expect(after.State).toEqual(State);
    expect(after.NetworkSettings.Networks.same?.IPAddress).toBe(NetworkSettings.Networks.same?.IPAddress);
    expect(await rules()).toBe(before);
    expect(await outputOf(second, 'echo alive')).toBe('alive');
  });
});

describe('beside a real dockerd', () => {
  const { test: withDockerd } = needs('dockerd');

  withDockerd(
    'in the same network and mount namespace neither disturbs the other',
    async () => {
      await using docker = await startDockerd();
      const rules = async (): Promise<string> => await runOk(['nsenter', `--target=${String(docker.pid)}`, '--net', 'iptables-save']);
      await using daemon = await startDaemon({ besideProcess: docker.pid, comparesMachine: false });
      const started = await docker.docker(['run', '-d', '--name', 'theirs', 'busybox', 'sleep', '1000']);
      expect(started).toMatchObject({ exitCode: 0 });
      const before = await rules();
      expect(before).toContain('docker0');
      const id = await start(daemon, waiting({ ExposedPorts: { '80/tcp': {} }, HostConfig: { PublishAllPorts: true } }), 'ours');
      expect((await docker.docker(['ps', '--format', '{{.Names}}'])).stdout).toBe('theirs\n');
      await daemon.restart();
      await daemon.kill();
      await daemon.start();
      expect((await inspect(daemon, id)).State.Running).toBe(true);
      expect(withoutCounters(await rules())).toBe(withoutCounters(before));
      expect((await docker.docker(['exec', 'theirs', 'echo', 'alive'])).stdout).toBe('alive\n');
      expect((await docker.docker(['rm', '-f', 'theirs'])).exitCode).toBe(0);
      expect(await outputOf(daemon, 'echo alive')).toBe('alive');
    },
    90_000,
  );
});

/** Of the default network of a daemon, whose suffix is made from its data root. */
const bridgeOf = (daemon: TestDaemon): string =>
  `berth-${new Bun.CryptoHasher('sha256').update(daemon.dataRoot).digest('hex').slice(0, 8)}`;

/** What iptables-save prints, without the time and the packets counted. */
const withoutCounters = (rules: string): string => rules.replace(/^#.*$/gm, '').replace(/\[\d+:\d+\]/g, '');

import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { outputOf, start, waiting, inspect } from '#test/helpers/containers.ts';
import { startDaemon, tempFolder, type TestDaemon } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';
import { berthCommand, projectRoot } from '#test/helpers/paths.ts';
import { run, type RunResult } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

/** Daemons that refuse to start say why in one line, end with 1, and leave nothing of theirs. */
describe('a daemon with wrong settings', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  beforeAll(async () => {
    folder = await tempFolder();
  });
  afterAll(() => folder[Symbol.asyncDispose]());

  const attempt = async (args: readonly string[], config?: string): Promise<RunResult> => {
    const at = (name: string): string => join(folder.path, name);
    await Bun.write(at('daemon.json'), config ?? '{}');
    const roots = ['--data-root', at('data'), '--exec-root', at('run'), '--pidfile', at('pid'), '--config-file', at('daemon.json')];
    return await run([...berthCommand(), 'daemon', ...roots, '-H', `unix://${at('sock')}`, ...args], {
      cwd: projectRoot,
      timeoutMs: 20_000,
    });
  };

  test.each([
    ['an unknown flag', ['--nonsense'], undefined, 'unknown flag: --nonsense'],
    ['a flag without its value', ['--bip'], undefined, 'flag needs an argument: --bip'],
    ['a value that is none', ['--mtu', 'wide'], undefined, 'invalid argument "wide" for --mtu'],
    ['an unknown log level', ['-l', 'loud'], undefined, 'invalid --log-level "loud"'],
    ['a bip that is no address', ['--bip', '10.0.0.0.0/8'], undefined, '10.0.0.0.0/8'],
    ['a group that does not exist', ['-G', 'no-such-group'], undefined, 'groupadd no-such-group'],
    ['a host in no known form', ['-H', 'ftp://x'], undefined, 'invalid --host "ftp://x"'],
    ['TCP without TLS', ['-H', 'tcp://127.0.0.1:0'], undefined, '--allow-insecure-tcp'],
    [
      'certificates that are not there',
      ['--tlsverify', '--tlscacert', '/no/ca.pem', '--tlscert', '/no/cert.pem', '--tlskey', '/no/key.pem', '-H', 'tcp://127.0.0.1:0'],
      undefined,
      '/no/c',
    ],
    ['a mirror that is no address', ['--registry-mirror', 'mirror'], undefined, 'invalid mirror "mirror"'],
    ['a ulimit in no known form', ['--default-ulimit', 'nofile'], undefined, 'type=soft[:hard]'],
    ['a runtime without a path', ['--add-runtime', 'mine'], undefined, 'expected key=value'],
    ['an unknown default runtime', ['--default-runtime', 'no-such-runtime'], undefined, 'no-such-runtime'],
    ['a configuration file that is no JSON', [], '{"debug": tru', 'is not valid JSON'],
    ['a configuration file that is a list', [], '[]', 'must hold one JSON object'],
    ['a key that nobody knows', [], '{"debug": true, "nonsense": 1}', "don't match any configuration option: nonsense"],
    ['a value of the wrong kind', [], '{"debug": "yes"}', '"debug" must be true or false'],
    [
      'a setting in both places',
      ['--bip', '10.9.8.1/24'],
      '{"bip": "10.9.7.1/24"}',
      'bip: (from flag: 10.9.8.1/24, from file: 10.9.7.1/24)',
    ],
  ] as const)('refuses %s', async (_what, args, config, words) => {
    const { exitCode, stdout, stderr } = await attempt(args, config);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(stderr).toContain(words);
    expect(stderr).not.toContain('    at ');
    expect(existsSync(join(folder.path, 'sock'))).toBe(false);
    expect(existsSync(join(folder.path, 'pid'))).toBe(false);
  });

  test('--validate says so when all is well', async () => {
    expect(await attempt(['--validate'], '{"debug": true}')).toMatchObject({ exitCode: 0, stdout: 'configuration OK\n' });
    expect((await attempt(['--validate'], '{"debug": 1}')).exitCode).toBe(1);
  });

  test('--help and --version', async () => {
    expect((await attempt(['--help'])).stdout).toContain('--data-root');
    expect((await run([...berthCommand(), '--help'], { timeoutMs: 20_000 })).stdout).toMatch(/^ {2}daemon .*\n {2}registry /m);
    expect((await attempt(['--version'])).stdout).toMatch(/^Berth version \d+\.\d+/);
  });

  test('a configuration file that was named has to be there', async () => {
    const { exitCode, stderr } = await run([...berthCommand(), 'daemon', '--config-file', '/no/such/daemon.json']);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('/no/such/daemon.json');
  });

  test('without root it does not begin', async () => {
    const roots = ['--data-root', '/tmp/berth-none', '--exec-root', '/tmp/berth-none', '--config-file', '/dev/null'];
    // The user must be able to read the program: it may be below a folder of root's.
    const { exitCode, stderr } = await run([
      'setpriv',
      '--reuid',
      '65534',
      '--clear-groups',
      '--bounding-set',
      '+dac_read_search',
      '--inh-caps',
      '+dac_read_search',
      '--ambient-caps',
      '+dac_read_search',
      ...berthCommand(),
      'daemon',
      ...roots,
    ]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('must run as root');
    expect(existsSync('/tmp/berth-none')).toBe(false);
  });
});

describe('a daemon with settings of its own', () => {
  let daemon: TestDaemon;
  let config: string;
  beforeAll(async () => {
    const folder = await tempFolder();
    config = join(folder.path, 'daemon.json');
    await Bun.write(
      config,
      JSON.stringify({
        labels: ['place=here'],
        'default-ulimits': { nofile: { Name: 'nofile', Soft: 1234, Hard: 2345 } },
        init: true,
        'log-opts': { 'max-size': '1m' },
        'default-shm-size': '8MiB',
      }),
    );
    daemon = await startDaemon({ args: ['--config-file', config] });
  }, 60_000);
  afterAll(() => daemon?.[Symbol.asyncDispose]());

  test('containers begin with what the file says', async () => {
    expect(await outputOf(daemon, 'ulimit -Sn; ulimit -Hn; df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2')).toBe('1234\n2345\n8192');
    expect(await outputOf(daemon, 'cat /proc/1/comm')).toMatch(/tini|docker-init/);
    const id = await start(daemon, waiting());
    expect((await inspect(daemon, id)).HostConfig.LogConfig).toEqual({ Type: 'json-file', Config: { 'max-size': '1m' } });
  });

  test('its socket is for root and one group only', () => {
    expect(statSync(daemon.socketPath).mode & 0o777).toBe(0o660);
  });

  test('SIGHUP reads the file again, reports it as an event, and keeps the old settings when the file is wrong', async () => {
    const info = async (): Promise<{ Labels: string[]; Debug: boolean }> => await daemon.api.expect('GET', '/info');
    expect((await info()).Labels).toEqual(['place=here']);
    const since = String(Date.now() / 1000 - 1);
    await Bun.write(config, JSON.stringify({ labels: ['place=there'] }));
    process.kill(daemon.pid, 'SIGHUP');
    await eventually('the labels are the new ones', async () => (await info()).Labels[0] === 'place=there');
    const events = await daemon.api.call(
      'GET',
      `/events?since=${since}&until=${String(Date.now() / 1000 + 0.2)}&filters={"type":["daemon"]}`,
    );
    expect(events.text).toContain('"reload"');
    await Bun.write(config, '{broken');
    process.kill(daemon.pid, 'SIGHUP');
    await eventually('the log says what is wrong', async () => (await daemon.log()).includes('is not valid JSON'));
    expect((await info()).Labels).toEqual(['place=there']);
    await Bun.write(config, '{}');
  });

  test('SIGTERM ends it with 0 and leaves containers running; the next one finds them', async () => {
    const id = await start(daemon, waiting());
    const { Pid } = (await inspect(daemon, id)).State;
    expect(await daemon.stop()).toBe(0);
    expect(existsSync(daemon.socketPath)).toBe(false);
    expect(existsSync(`/proc/${String(Pid)}`)).toBe(true);
    await daemon.start();
    expect((await inspect(daemon, id)).State).toMatchObject({ Running: true, Pid });
  });

  test('a second daemon on the same roots is refused, and the first does not notice', async () => {
    const second = async (...args: string[]): Promise<string> => {
      const { exitCode, stderr } = await run(
        [
          ...berthCommand(),
          'daemon',
          '--config-file',
          '/dev/null',
          '-H',
          `unix://${daemon.folder}/second.sock`,
          '--pidfile',
          `${daemon.folder}/second.pid`,
          ...args,
        ],
        { timeoutMs: 20_000 },
      );
      expect(exitCode).toBe(1);
      return stderr;
    };
    const { dataRoot, execRoot, folder } = daemon;
    const began = performance.now();
    expect(await second('--data-root', dataRoot, '--exec-root', `${folder}/run2`)).toContain(`another daemon is using ${dataRoot}`);
    expect(await second('--data-root', `${folder}/data2`, '--exec-root', execRoot)).toContain(`another daemon is using ${execRoot}`);
    expect(await second('--data-root', `${folder}/data2`, '--exec-root', `${folder}/run2`, '--pidfile', `${folder}/berth.pid`)).toContain(
      'is still running',
    );
    // Nobody waits for a daemon that runs.
    expect(performance.now() - began).toBeLessThan(5000);
    expect((await daemon.api.get('/_ping')).status).toBe(200);
    expect(await outputOf(daemon, 'echo fine')).toBe('fine');
  });
});

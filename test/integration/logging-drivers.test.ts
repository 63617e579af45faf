import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'bun:test';
import { Authority } from '#test/helpers/authority.ts';
import { type ContainerBody, execIn, inspect, logsOf, remove, sh, sharedDaemon, start, waitForExit } from '#test/helpers/containers.ts';
import { startDaemon } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { FluentdReceiver, journalFields, UnixDatagramReceiver } from '#test/helpers/log-receivers.ts';
import { needs } from '#test/helpers/needs.ts';
import { Rsyslog } from '#test/helpers/rsyslog.ts';

const { describe, test } = needs('root', 'conmon', 'nft');
const withRsyslog = needs('root', 'conmon', 'nft', 'rsyslog', 'openssl');

const logging = (type: string, config: Readonly<Record<string, string>> = {}, more: ContainerBody = {}): ContainerBody => ({
  ...more,
  HostConfig: { LogConfig: { Type: type, Config: config } },
});

const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, at) => String(from + at));

/** Says a number whenever a file asks for more, up to the one in it. */
const counter =
  'i=0; while :; do n=$(cat /up-to 2>/dev/null || echo 0); while [ $i -lt $n ]; do echo $i; i=$((i+1)); done; usleep 20000; done';

withRsyslog.describe('syslog, understood by rsyslogd', () => {
  const daemon = sharedDaemon();
  const formats = ['', 'rfc3164', 'rfc5424', 'rfc5424micro'];
  const addresses: readonly (readonly [string, readonly string[], (rsyslog: Rsyslog) => string])[] = [
    ['udp', formats, ({ udpPort }) => `udp://127.0.0.1:${String(udpPort)}`],
    ['tcp', formats, ({ tcpPort }) => `tcp://127.0.0.1:${String(tcpPort)}`],
    // Nobody names the host to a socket of that host.
    ['unixgram', [''], ({ socketPath }) => `unixgram://${socketPath}`],
  ];

  withRsyslog.test.each(addresses)('%s', async (_name, formats, address) => {
    await using rsyslog = await Rsyslog.run();
    for (const format of formats) {
      const options = { 'syslog-address': address(rsyslog), 'syslog-facility': 'local3', tag: '{{.Name}}/{{.ImageName}}' };
      const body = logging('syslog', format === '' ? options : { ...options, 'syslog-format': format });
      const id = await start(daemon(), { ...sh(`echo "to <b> ${format}"; echo problem >&2`), ...body }, `talker-${format}`);
      await waitForExit(daemon(), id);
      const ours = await eventually('two messages', () => {
        const found = rsyslog.messages().filter(({ tag }) => tag.includes(`talker-${format}/busybox`));
        return found.length === 2 ? found : undefined;
      });
      const words = ours.map(({ facility, severity, text }) => `${facility}.${severity} ${text.trim()}`);
      expect(words).toEqual([`local3.info to <b> ${format}`.trim(), 'local3.err problem']);
      // The copy that can be read.
      expect(await logsOf(daemon(), id)).toEqual({ stdout: `to <b> ${format}\n`, stderr: 'problem\n' });
      expect((await inspect(daemon(), id)).LogPath).toBe('');
      await remove(daemon(), id);
    }
  });

  withRsyslog.test('tcp+tls: with a certificate that is known, not with another', async () => {
    await using authority = await Authority.make();
    await using others = await Authority.make();
    const files = await authority.sign('server');
    await using rsyslog = await Rsyslog.run({ tls: files });
    const address = { 'syslog-address': `tcp+tls://127.0.0.1:${String(rsyslog.tlsPort)}`, 'syslog-format': 'rfc5424' };
    const good = await start(daemon(), { ...sh('echo known'), ...logging('syslog', { ...address, 'syslog-tls-ca-cert': files.ca }) });
    await eventually('the message', () => rsyslog.texts().includes('known'));
    const skipped = await start(daemon(), {
      ...sh('echo skipped'),
      ...logging('syslog', { ...address, 'syslog-tls-skip-verify': 'true' }),
    });
    await eventually('the message', () => rsyslog.texts().includes('skipped'));
    const ca = others.file('ca.pem');
    const bad = await start(daemon(), { ...sh('echo stranger'), ...logging('syslog', { ...address, 'syslog-tls-ca-cert': ca }) });
    await eventually('the refusal is told', async () => (await daemon().log()).includes('cannot be passed on now'));
    expect(rsyslog.texts()).not.toContain('stranger');
    for (const id of [good, skipped, bad]) await remove(daemon(), id);
  });

  withRsyslog.test('a server that is down at the start, killed in between, and a daemon that is killed too', async () => {
    await using rsyslog = await Rsyslog.prepare();
    await using own = await startDaemon();
    const id = await start(own, {
      ...sh(counter),
      ...logging('syslog', { 'syslog-address': `tcp://127.0.0.1:${String(rsyslog.tcpPort)}` }),
    });
    const say = async (upTo: number): Promise<void> => {
      expect((await execIn(own, id, ['sh', '-c', `echo ${String(upTo)} > /up-to`])).exitCode).toBe(0);
      await eventually('it was said', async () => (await logsOf(own, id)).stdout.endsWith(`${String(upTo - 1)}\n`));
    };
    const arrived = (): string[] => [...new Set(rsyslog.texts().map(text => text.trim()))];
    await say(100);
    await rsyslog.start();
    await eventually('the first hundred', () => arrived().length === 100);
    expect(rsyslog.texts()).toHaveLength(100);
    await own.kill();
    await own.start();
    await say(200);
    await eventually('the second hundred', () => arrived().length === 200);
    // The daemon's end alone makes nothing come twice.
    expect(rsyslog.texts()).toHaveLength(200);
    await rsyslog.kill();
    await say(300);
    await own.kill();
    await rsyslog.start();
    await own.start();
    await say(400);
    await eventually('all four hundred', () => arrived().length === 400);
    expect(arrived()).toEqual(numbers(0, 400));
    expect((await inspect(own, id)).State.Running).toBe(true);
  });
});

describe('logging drivers', () => {
  const daemon = sharedDaemon();

  test('json-file: the path that inspect names, also with a terminal, bytes that are no text and long lines', async () => {
    const id = await start(daemon(), sh(`printf 'a\\377b\\n'; head -c 40000 /dev/zero | tr '\\0' x; printf '\\nend'`));
    await waitForExit(daemon(), id);
    const { LogPath } = await inspect(daemon(), id);
    expect(LogPath).toBe(`${daemon().dataRoot}/containers/${id}/${id}-json.log`);
    const records = readFileSync(LogPath, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map(line => JSON.parse(line) as { log: string; stream: string; time: string });
    expect(records.map(({ log }) => log)).toEqual([
      'a\ufffdb\n',
      'x'.repeat(16_384),
      'x'.repeat(16_384),
      `${'x'.repeat(40_000 - 2 * 16_384)}\n`,
      'end',
    ]);
    await remove(daemon(), id);
    await eventually('its log is gone', () => !existsSync(LogPath));
  });

  test('details show labels, variables and the tag', async () => {
    const body = { ...sh('echo x'), Labels: { a: 'b c', other: '1' }, Env: ['COLOR=blue'] };
    const config = { labels: 'a', 'env-regex': '^COL', tag: '{{.ImageName}}' };
    for (const type of ['json-file', 'local']) {
      const id = await start(daemon(), { ...body, ...logging(type, config) });
      await waitForExit(daemon(), id);
      expect((await logsOf(daemon(), id, '&details=1')).stdout).toBe('COLOR=blue,a=b+c,tag=busybox x\n');
      await remove(daemon(), id);
    }
  });

  test('fluentd: lines of a container that removes itself arrive', async () => {
    await using receiver = new FluentdReceiver();
    await receiver.start();
    const config = { 'fluentd-address': `127.0.0.1:${String(receiver.port)}`, tag: 'docker.{{.Name}}' };
    const host = { LogConfig: { Type: 'fluentd', Config: config }, AutoRemove: true };
    const id = await start(daemon(), { ...sh('seq 1 500'), HostConfig: host }, 'short-lived');
    await eventually('it is gone', async () => (await daemon().api.get(`/containers/${id}/json`)).status === 404);
    expect(receiver.events.map(({ record }) => record.log)).toEqual(numbers(1, 501));
    expect(receiver.events[0]).toMatchObject({
      tag: 'docker.short-lived',
      record: { container_id: id, container_name: '/short-lived', source: 'stdout' },
    });
  });

  test('a container starts without its receiver, unless it is to wait for it', async () => {
    const nobody = { 'fluentd-address': '127.0.0.1:1' };
    const id = await start(daemon(), { ...sh('echo here'), ...logging('fluentd', nobody) });
    await waitForExit(daemon(), id);
    expect((await logsOf(daemon(), id)).stdout).toBe('here\n');
    await remove(daemon(), id);
    const { Id } = await daemon().api.expect<{ Id: string }>('POST', '/containers/create', {
      body: { Image: 'busybox', Cmd: ['true'], ...logging('fluentd', { ...nobody, mode: 'blocking' }) },
    });
    const answer = await daemon().api.post<{ message: string }>(`/containers/${Id}/start`);
    expect(answer.json.message).toContain('failed to initialize logging driver: dial tcp 127.0.0.1:1: connect: connection refused');
    expect(answer.status).toBeGreaterThanOrEqual(400);
    await remove(daemon(), Id);
  });

  test('where no copy is kept, logs answer 501', async () => {
    const id = await start(daemon(), {
      ...sh('echo x'),
      ...logging('syslog', { 'syslog-address': 'udp://127.0.0.1:9', 'cache-disabled': 'true' }),
    });
    await waitForExit(daemon(), id);
    const answer = await daemon().api.get<{ message: string }>(`/containers/${id}/logs?stdout=1`);
    expect([answer.status, answer.json.message]).toEqual([501, 'configured logging driver does not support reading']);
    await remove(daemon(), id);
  });

  test.each(['json-file', 'local', 'syslog'])('%s: tail, since, until, timestamps and following through a new file', async type => {
    const limits = { 'max-size': '20k', 'max-file': '50' };
    const config = type === 'syslog' ? { 'syslog-address': 'udp://127.0.0.1:9', 'cache-max-size': '20k', 'cache-max-file': '50' } : limits;
    const id = await start(daemon(), {
      ...sh(`${counter}`),
      ...logging(type, type === 'local' ? { ...config, compress: 'true' } : config),
    });
    const followed = await daemon().api.open('GET', `/containers/${id}/logs?stdout=1&follow=1`);
    for (const upTo of [1000, 2000, 3000]) {
      await execIn(daemon(), id, ['sh', '-c', `echo ${String(upTo)} > /up-to`]);
      await eventually('it was said', async () => (await logsOf(daemon(), id, '&tail=1')).stdout === `${String(upTo - 1)}\n`);
    }
    expect((await logsOf(daemon(), id)).stdout).toBe(`${numbers(0, 3000).join('\n')}\n`);
    expect((await logsOf(daemon(), id, '&tail=1500')).stdout).toBe(`${numbers(1500, 3000).join('\n')}\n`);
    const times = (await logsOf(daemon(), id, '&timestamps=1')).stdout.split('\n').map(line => line.split(' ')[0] ?? '');
    const at = (index: number): string =>
      `${String(Math.floor(Date.parse(times[index] ?? '') / 1000))}.${(times[index] ?? '').slice(20, 29)}`;
    const until = (await logsOf(daemon(), id, `&until=${at(999)}`)).stdout.trim().split('\n');
    expect(until.slice(0, 1000)).toEqual(numbers(0, 1000));
    expect((await logsOf(daemon(), id, `&since=${at(2999)}`)).stdout).toEndWith('2999\n');
    await daemon().api.expect('POST', `/containers/${id}/kill`);
    const frames = Buffer.from(await followed.arrayBuffer()).toString('latin1');
    expect([...(frames.match(/\d+(?=\n)/g) ?? [])]).toEqual(numbers(0, 3000));
    await remove(daemon(), id);
  });

  test('info names the drivers', async () => {
    const info = await daemon().api.expect<{ Plugins: { Log: string[] }; LoggingDriver: string }>('GET', '/info');
    expect(info.Plugins.Log).toEqual(['fluentd', 'gelf', 'journald', 'json-file', 'local', 'syslog']);
    expect(info.LoggingDriver).toBe('json-file');
  });
});

describe('the daemon’s own choice of logging driver', () => {
  test('its options go to containers that use its driver, those of the copy to all', async () => {
    await using journal = new UnixDatagramReceiver(`/tmp/berth-j-${String(process.pid)}`);
    journal.start();
    await using daemon = await startDaemon({
      args: ['--log-driver', 'journald', '--log-opt', 'tag={{.Name}}', '--log-opt', 'cache-max-file=3'],
      env: { BERTH_JOURNAL_SOCKET: journal.path },
    });
    const id = await start(daemon, sh('echo hello'), 'speaker');
    const entries = await eventually('an entry', () => {
      const found = journal.take();
      return found.length > 0 ? found : undefined;
    });
    expect(entries.map(journalFields)).toMatchObject([
      { MESSAGE: 'hello', CONTAINER_TAG: 'speaker', CONTAINER_NAME: 'speaker', CONTAINER_ID_FULL: id },
    ]);
    const configOf = async (one: string): Promise<unknown> => (await inspect(daemon, one)).HostConfig.LogConfig;
    expect(await configOf(id)).toEqual({ Type: 'journald', Config: { tag: '{{.Name}}', 'cache-max-file': '3' } });
    const other = await start(daemon, { ...sh('true'), ...logging('syslog', { 'syslog-address': 'udp://127.0.0.1:9' }) });
    expect(await configOf(other)).toEqual({ Type: 'syslog', Config: { 'syslog-address': 'udp://127.0.0.1:9', 'cache-max-file': '3' } });
    const own = await start(daemon, { ...sh('true'), ...logging('', { tag: 'own' }) });
    expect(await configOf(own)).toEqual({ Type: 'journald', Config: { tag: 'own', 'cache-max-file': '3' } });
  });

  test.each([
    [['--log-driver', 'nope'], 'error looking up logging plugin nope: plugin "nope" not found'],
    [['--log-opt', 'nope=1'], "failed to set log opts: unknown log opt 'nope' for json-file log driver"],
    [['--log-driver', 'gelf', '--log-opt', 'tag=x'], 'failed to set log opts: gelf-address is a required parameter'],
  ])('%j is refused when it starts', async (args, message) => {
    await using daemon = await startDaemon({ busybox: false });
    await daemon.stop();
    const refused = await daemon.berth(['daemon', '--validate', ...args]);
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toContain(message);
  });
});

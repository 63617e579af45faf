import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { kindOf, messageOf } from '#base/errors.ts';
import { createLogger } from '#base/log.ts';
import type { LogConfig, LogStore, OpenLog } from '#core/logs.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { DelimitedReceiver, FluentdReceiver, GelfUdpReceiver, journalFields, UnixDatagramReceiver } from '#test/helpers/log-receivers.ts';
import { freePort } from '#test/helpers/registry.ts';
import { openLogStore } from './store.ts';
import { Monitor, someSubject } from './test-monitor.ts';

let dir: string;
let store: LogStore;
let said: string[];
let holds: number;

const newStore = (): LogStore =>
  openLogStore({
    dir,
    log: createLogger({ level: 'info', format: 'text', write: line => void said.push(line) }),
    render: text => text,
    journalSocket: `${dir}/journal`,
  });

beforeEach(() => {
  dir = mkdtempSync('/tmp/berth-logs-');
  said = [];
  holds = 0;
  store = newStore();
});
afterEach(async () => {
  await store.close();
  rmSync(dir, { recursive: true });
});

const config = (type: string, options: LogConfig['config']): LogConfig => ({ type, config: options });

async function open(logConfig: LogConfig, goesOn = false): Promise<{ readonly log: OpenLog; readonly monitor: Monitor }> {
  store.check(logConfig);
  const run = {
    goesOn,
    isFlowing: () => false,
    beginCapture: () => new Monitor(`${dir}/c/log/current`).beginAnew(),
    hold: async () => {
      holds += 1;
      return { [Symbol.dispose]: () => void (holds -= 1) };
    },
  };
  const log = await store.open(someSubject(logConfig), run, AbortSignal.timeout(10_000));
  if (log === undefined) throw new Error('nothing was opened');
  log.begin();
  return { log, monitor: new Monitor(log.capturePath) };
}

async function readAll(logConfig: LogConfig): Promise<string> {
  let text = '';
  for await (const batch of store.read('c', logConfig, { stdout: true, stderr: true }, AbortSignal.timeout(5000))) {
    for (const { line } of batch) text += Buffer.from(line).toString('utf8');
  }
  return text;
}

const lines = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, at) => `line ${String(from + at)}`);

describe('syslog', () => {
  test('formats', async () => {
    const zone = process.env.TZ;
    process.env.TZ = 'UTC';
    const pid = String(process.pid);
    const heads = {
      '': `<30>Jan  2 03:04:07 c[${pid}]: `,
      rfc3164: `<30>Jan  2 03:04:07 ${hostname()} c[${pid}]: `,
      rfc5424: `<30>1 2026-01-02T03:04:07Z ${hostname()} c ${pid} c - `,
      rfc5424micro: `<30>1 2026-01-02T03:04:07.000000Z ${hostname()} c ${pid} c - `,
    };
    for (const [format, head] of Object.entries(heads)) {
      await using receiver = new DelimitedReceiver(10);
      await receiver.start();
      const options = {
        'syslog-address': `tcp://127.0.0.1:${String(receiver.port)}`,
        tag: 'c',
        ...(format === '' ? {} : { 'syslog-format': format }),
      };
      const { log, monitor } = await open(config('syslog', options));
      monitor.write(7, 'F', 'text é');
      monitor.write(7, 'F', '');
      monitor.write(7, 'F', 'bad', 'stderr');
      await eventually('two messages', () => receiver.messages.length === 2);
      expect(receiver.messages).toEqual([`${head}text é`, `${head.replace('<30>', '<27>')}bad`]);
      await log.end({ removesLog: false });
      await store.forget('c');
      rmSync(`${dir}/c`, { recursive: true });
    }
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  });

  test('a unix stream socket, and a facility by its number', async () => {
    await using receiver = new DelimitedReceiver(10, `${dir}/socket`);
    await receiver.start();
    const { monitor } = await open(config('syslog', { 'syslog-address': `unix://${dir}/socket`, 'syslog-facility': '16' }));
    monitor.write(7, 'F', 'x');
    await eventually('a message', () => receiver.messages[0]?.startsWith('<134>'));
  });

  test('refusals in Docker’s words', () => {
    const refused = (options: LogConfig['config']): string => {
      try {
        store.check(config('syslog', options));
        return 'not refused';
      } catch (err) {
        expect(kindOf(err)).toBe('InvalidArgument');
        return messageOf(err);
      }
    };
    expect(refused({ nope: '1' })).toBe("unknown log opt 'nope' for syslog log driver");
    expect(refused({ 'syslog-address': 'http://x' })).toBe("unsupported scheme: 'http'");
    expect(refused({ 'syslog-address': 'unix:///no/such' })).toBe('stat /no/such: no such file or directory');
    expect(refused({ 'syslog-facility': '24' })).toBe('invalid syslog facility');
    expect(refused({ 'syslog-format': 'x' })).toBe('Invalid syslog format');
    expect(refused({ mode: 'x' })).toBe('logger: logging mode not supported: x');
    expect(refused({ 'max-buffer-size': '1m' })).toBe("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
    expect(refused({ mode: 'non-blocking', 'max-buffer-size': 'x' })).toBe("error parsing option max-buffer-size: invalid size: 'x'");
    expect(refused({ 'cache-disabled': 'x' })).toBe('invalid value for option cache-disabled: x');
    expect(refused({ mode: 'non-blocking', 'max-buffer-size': '4m', 'cache-max-size': '1m', tag: 'a', labels: 'b' })).toBe('not refused');
  });
});

describe('fluentd', () => {
  const address = (receiver: FluentdReceiver): LogConfig['config'] => ({ 'fluentd-address': `127.0.0.1:${String(receiver.port)}` });

  test('records as Docker makes them, with parts of long lines', async () => {
    await using receiver = new FluentdReceiver();
    await receiver.start();
    const { log, monitor } = await open(config('fluentd', { ...address(receiver), tag: 'my.tag', labels: 'part', env: 'A' }));
    monitor.write(1, 'F', 'one');
    for (const text of ['x'.repeat(8192), 'x'.repeat(8192), 'y']) monitor.write(2, 'P', text, 'stderr');
    monitor.write(2, 'F', 'z', 'stderr');
    await log.end({ removesLog: false });
    await eventually('three records', () => receiver.events.length === 3);
    const common = { container_id: 'c', container_name: '/web', part: 'one', A: '1' };
    const seconds = Date.UTC(2026, 0, 2, 3, 4, 1) / 1000;
    expect(receiver.events[0]).toEqual({ tag: 'my.tag', time: seconds, record: { ...common, source: 'stdout', log: 'one' } });
    const [, first, last] = receiver.events;
    expect(first?.record).toMatchObject({
      ...common,
      source: 'stderr',
      log: 'x'.repeat(16_384),
      partial_message: 'true',
      partial_ordinal: '1',
      partial_last: 'false',
    });
    expect(last?.record).toMatchObject({ log: 'yz', partial_message: 'true', partial_ordinal: '2', partial_last: 'true' });
    expect(first?.record.partial_id).toMatch(/^[0-9a-f]{64}$/);
    expect(last?.record.partial_id).toBe(first?.record.partial_id ?? '');
  });

  test('times with fractions of a second', async () => {
    await using receiver = new FluentdReceiver();
    await receiver.start();
    const { monitor } = await open(config('fluentd', { ...address(receiver), 'fluentd-sub-second-precision': 'true' }));
    monitor.write(1, 'F', 'one');
    const time = (await eventually('a record', () => receiver.events[0]))?.time as Buffer;
    expect([time.readUInt32BE(0), time.readUInt32BE(4)]).toEqual([Date.UTC(2026, 0, 2, 3, 4, 1) / 1000, 5]);
  });

  test('request-ack: what was not acknowledged is sent again, what was is not', async () => {
    await using receiver = new FluentdReceiver();
    await receiver.start();
    const { monitor } = await open(
      config('fluentd', { ...address(receiver), 'fluentd-request-ack': 'true', 'fluentd-retry-wait': '10ms' }),
    );
    monitor.writeLines(lines(0, 50));
    await eventually('all were acknowledged', () => receiver.events.length === 50);
    receiver.acknowledges = false;
    monitor.writeLines(lines(50, 60));
    await eventually('they wait', () => receiver.connections === 1);
    await receiver.stop();
    receiver.acknowledges = true;
    await receiver.start();
    const seen = (): Set<string | undefined> => new Set(receiver.events.map(({ record }) => record.log));
    await eventually('the rest was acknowledged', () => seen().size === 60);
    expect([...seen()]).toEqual(lines(0, 60));
  });

  test('gives up on lines after as many attempts as were asked for', async () => {
    await using receiver = new FluentdReceiver();
    await receiver.start();
    await receiver.stop();
    const { monitor } = await open(config('fluentd', { ...address(receiver), 'fluentd-max-retries': '2', 'fluentd-retry-wait': '10ms' }));
    monitor.write(1, 'F', 'dropped');
    await eventually('it says so', () => said.some(line => line.includes('dropped after too many attempts')));
    await receiver.start();
    monitor.write(2, 'F', 'kept');
    await eventually('the next one', () => receiver.events.length > 0);
    expect(receiver.events.map(({ record }) => record.log)).toEqual(['kept']);
  });

  test('refusals in Docker’s words', () => {
    const refused = (options: LogConfig['config']): string => {
      try {
        store.check(config('fluentd', options));
        return 'not refused';
      } catch (err) {
        return messageOf(err);
      }
    };
    expect(refused({ 'fluentd-x': '1' })).toBe("unknown log opt 'fluentd-x' for fluentd log driver");
    expect(refused({ 'fluentd-address': 'ftp://x' })).toBe("invalid fluentd-address (ftp://x): unsupported scheme: 'ftp'");
    expect(refused({ 'fluentd-address': 'tcp://x/y' })).toBe('invalid fluentd-address (tcp://x/y): should not contain a path element');
    expect(refused({ 'fluentd-address': 'unix://' })).toBe('invalid fluentd-address (unix://): path is empty');
    expect(refused({ 'fluentd-async': 'x' })).toBe('strconv.ParseBool: parsing "x": invalid syntax');
    expect(refused({ 'fluentd-retry-wait': 'x' })).toBe('time: invalid duration "x"');
    expect(refused({ 'fluentd-max-retries': '-1' })).toBe('strconv.ParseUint: parsing "-1": invalid syntax');
    expect(refused({ 'fluentd-async-reconnect-interval': '1ms' })).toBe(
      'invalid value for fluentd-async-reconnect-interval: value ("1ms") must be between 100ms and 10s',
    );
    expect(refused({ 'fluentd-write-timeout': '-1s' })).toBe(
      'invalid value for fluentd-write-timeout: value must be a duration that is non-negative',
    );
    expect(refused({ 'fluentd-address': 'tls://[::1]:1', 'fluentd-buffer-limit': '8m', 'fluentd-async': 'true' })).toBe('not refused');
  });
});

describe('gelf', () => {
  test.each(['gzip', 'zlib', 'none'])('udp with %s, in chunks where needed', async type => {
    await using receiver = new GelfUdpReceiver();
    await receiver.start();
    const options = {
      'gelf-address': `udp://127.0.0.1:${String(receiver.port)}`,
      'gelf-compression-type': type,
      labels: 'part',
      env: 'A',
      tag: 't',
    };
    const { monitor } = await open(config('gelf', options));
    monitor.write(7, 'F', 'short');
    monitor.write(7, 'F', '');
    // Random text does not become small.
    const long = Buffer.from(crypto.getRandomValues(new Uint8Array(6000))).toString('hex');
    monitor.write(8, 'F', long, 'stderr');
    await eventually('both', () => receiver.messages.length === 2);
    const common = {
      version: '1.1',
      host: hostname(),
      _container_id: 'c',
      _container_name: 'web',
      _image_id: 'sha256:1234',
      _image_name: 'busybox',
      _command: 'sh -c x',
      _created: '2026-01-02T03:04:05Z',
      _tag: 't',
      _part: 'one',
      _A: '1',
    };
    const seconds = Date.UTC(2026, 0, 2, 3, 4, 7) / 1000;
    expect(receiver.messages).toEqual([
      { ...common, short_message: 'short', timestamp: seconds, level: 6 },
      { ...common, short_message: long, timestamp: seconds + 1, level: 3 },
    ]);
    expect([...receiver.kinds].toSorted()).toEqual(['chunk', type === 'none' ? 'plain' : type]);
  });

  test('tcp: a receiver that is killed and comes back gets every line', async () => {
    await using receiver = new DelimitedReceiver(0);
    await receiver.start();
    const options = { 'gelf-address': `tcp://127.0.0.1:${String(receiver.port)}`, 'gelf-tcp-reconnect-delay': '0' };
    const { monitor } = await open(config('gelf', options));
    monitor.writeLines(lines(0, 10));
    await eventually('the first ones', () => receiver.messages.length === 10);
    await receiver.stop();
    monitor.writeLines(lines(10, 20));
    await receiver.start();
    const seen = (): Set<unknown> => new Set(receiver.messages.map(text => (JSON.parse(text) as { short_message: string }).short_message));
    await eventually('all of them', () => seen().size === 20);
    expect([...seen()]).toEqual(lines(0, 20));
    // Only what was sent in the last second before it went may come twice.
    expect(receiver.messages.length).toBeLessThanOrEqual(30);
  });

  test('refusals in Docker’s words', () => {
    const refused = (options: LogConfig['config']): string => {
      try {
        store.check(config('gelf', options));
        return 'not refused';
      } catch (err) {
        return messageOf(err);
      }
    };
    const udp = { 'gelf-address': 'udp://127.0.0.1:1' };
    const tcp = { 'gelf-address': 'tcp://127.0.0.1:1' };
    expect(refused({})).toBe('gelf-address is a required parameter');
    expect(refused({ 'gelf-address': 'http://127.0.0.1:1' })).toBe('gelf: endpoint needs to be TCP or UDP');
    expect(refused({ 'gelf-address': 'udp://127.0.0.1' })).toBe('gelf: please provide gelf-address as proto://host:port');
    expect(refused({ ...udp, x: '1' })).toBe('unknown log opt "x" for gelf log driver');
    expect(refused({ ...udp, 'gelf-compression-level': '10' })).toBe(
      'unknown value "10" for log opt "gelf-compression-level" for gelf log driver',
    );
    expect(refused({ ...udp, 'gelf-compression-type': 'x' })).toBe(
      'unknown value "x" for log opt "gelf-compression-type" for gelf log driver',
    );
    expect(refused({ ...udp, 'gelf-tcp-max-reconnect': '1' })).toBe('"gelf-tcp-max-reconnect" is only valid for TCP');
    expect(refused({ ...tcp, 'gelf-tcp-max-reconnect': '-1' })).toBe('"gelf-tcp-max-reconnect" must be a positive integer');
    expect(refused({ ...tcp, 'gelf-compression-type': 'gzip' })).toBe('compression is only supported on UDP');
  });
});

describe('journald', () => {
  test('entries in the journal’s own protocol, large ones as files', async () => {
    await using receiver = new UnixDatagramReceiver(`${dir}/journal`);
    receiver.start();
    const { log, monitor } = await open(config('journald', { labels: 'part', 'env-regex': '^A$', tag: 'the tag' }));
    monitor.write(1, 'F', 'one = é');
    monitor.write(2, 'F', 'err', 'stderr');
    monitor.write(3, 'P', 'no end');
    await log.end({ removesLog: false });
    const entries: Record<string, string>[] = [];
    await eventually('three entries', () => {
      entries.push(...receiver.take().map(journalFields));
      return entries.length === 3;
    });
    const common = {
      CONTAINER_ID: 'c',
      CONTAINER_ID_FULL: 'c',
      CONTAINER_NAME: 'web',
      CONTAINER_TAG: 'the tag',
      IMAGE_NAME: 'busybox',
      SYSLOG_IDENTIFIER: 'the tag',
      PART: 'one',
      A: '1',
      CONTAINER_LOG_EPOCH: entries[0]?.CONTAINER_LOG_EPOCH ?? '',
    };
    const time = (second: number): string => `2026-01-02T03:04:0${String(second)}.000000005Z`;
    expect(entries[0]).toEqual({ ...common, MESSAGE: 'one = é', PRIORITY: '6', SYSLOG_TIMESTAMP: time(1), CONTAINER_LOG_ORDINAL: '1' });
    expect(entries[1]).toEqual({ ...common, MESSAGE: 'err', PRIORITY: '3', SYSLOG_TIMESTAMP: time(2), CONTAINER_LOG_ORDINAL: '2' });
    expect(entries[2]).toMatchObject({
      MESSAGE: 'no end',
      CONTAINER_PARTIAL_MESSAGE: 'true',
      CONTAINER_PARTIAL_ORDINAL: '1',
      CONTAINER_PARTIAL_LAST: 'false',
    });
  });

  test('an entry that no datagram holds is handed over as a sealed file', async () => {
    await using receiver = new UnixDatagramReceiver(`${dir}/journal`);
    receiver.start();
    const large = { big: 'v'.repeat(400_000) };
    const subject = { ...someSubject(config('journald', { labels: 'big' })), labels: large };
    const run = {
      goesOn: false,
      isFlowing: () => false,
      beginCapture: () => undefined,
      hold: async () => ({ [Symbol.dispose]: () => undefined }),
    };
    const log = await store.open(subject, run, AbortSignal.timeout(5000));
    log?.begin();
    new Monitor(log?.capturePath ?? '').write(1, 'F', 'x');
    const [entry] = await eventually('an entry', () => {
      const found = receiver.take();
      return found.length > 0 ? found : undefined;
    });
    expect(journalFields(entry ?? Buffer.alloc(0))).toMatchObject({ MESSAGE: 'x', BIG: large.big });
  });

  test('a journal that is slow or away for a while gets every entry', async () => {
    const receiver = new UnixDatagramReceiver(`${dir}/journal`);
    await using _closing = receiver;
    const { monitor } = await open(config('journald', {}));
    monitor.writeLines(lines(0, 300));
    await eventually('it was tried', () => said.some(line => line.includes('cannot be passed on')));
    receiver.start();
    const seen: string[] = [];
    await eventually('all entries', () => {
      seen.push(...receiver.take().map(entry => journalFields(entry).MESSAGE ?? ''));
      return seen.length >= 300;
    });
    expect(seen).toEqual(lines(0, 300));
  });
});

describe('a receiver’s outage', () => {
  const syslogTo = (port: number, more: LogConfig['config'] = {}): LogConfig =>
    config('syslog', { 'syslog-address': `tcp://127.0.0.1:${String(port)}`, ...more });
  const textsOf = (receiver: DelimitedReceiver): string[] => receiver.messages.map(message => message.replace(/^.*?: /, ''));

  test('does not keep a run from beginning, and lines come when the receiver does; they can be read meanwhile', async () => {
    await using receiver = new DelimitedReceiver(10, await freePort());
    const logConfig = syslogTo(receiver.port);
    const { log, monitor } = await open(logConfig);
    monitor.writeLines(lines(0, 100));
    await log.end({ removesLog: false });
    expect(await readAll(logConfig)).toBe(`${lines(0, 100).join('\n')}\n`);
    await receiver.start();
    await eventually('all lines', () => receiver.messages.length === 100);
    expect(textsOf(receiver)).toEqual(lines(0, 100));
  });

  test('is the user’s business where it was asked for', async () => {
    const port = await freePort();
    const failure = await open(syslogTo(port, { mode: 'blocking' })).catch((err: unknown) => err);
    expect(kindOf(failure)).toBe('FailedPrecondition');
    expect(messageOf(failure)).toBe(`failed to initialize logging driver: dial tcp 127.0.0.1:${String(port)}: connect: connection refused`);
    const async = await open(config('fluentd', { 'fluentd-address': `127.0.0.1:${String(port)}`, 'fluentd-async': 'false' })).catch(
      (err: unknown) => err,
    );
    expect(messageOf(async)).toStartWith('failed to initialize logging driver: dial tcp');
  });

  test('mode=blocking: the container waits before lines would be lost', async () => {
    await using receiver = new DelimitedReceiver(10);
    await receiver.start();
    const { monitor } = await open(syslogTo(receiver.port, { mode: 'blocking', 'cache-max-size': '20k', 'cache-max-file': '2' }));
    await eventually('it is connected', () => receiver.connections === 1);
    await receiver.stop();
    monitor.writeLines(lines(0, 600));
    await eventually('it is held', () => holds === 1);
    await receiver.start();
    await eventually('all lines', () => new Set(textsOf(receiver)).size === 600);
    await eventually('it is let go', () => holds === 0);
  });

  test('without it the oldest lines go when too many wait, and the container does not', async () => {
    await using receiver = new DelimitedReceiver(10, await freePort());
    const logConfig = syslogTo(receiver.port, { 'cache-max-size': '10k', 'cache-max-file': '2' });
    const { monitor } = await open(logConfig);
    for (let from = 0; from < 3000; from += 100) {
      const before = readdirSync(`${dir}/c/log`).join();
      monitor.writeLines(lines(from, from + 100));
      if (from % 200 === 100) await eventually('a new file was begun', () => readdirSync(`${dir}/c/log`).join() !== before);
    }
    await eventually('it was tried', () => said.some(line => line.includes('cannot be passed on')));
    await receiver.start();
    await eventually('the newest line', () => textsOf(receiver).includes('line 2999'));
    expect(holds).toBe(0);
    expect(receiver.messages.length).toBeLessThan(3000);
    expect(textsOf(receiver)).toEqual(lines(3000 - receiver.messages.length, 3000));
  });

  test('mode=non-blocking: what waits is bounded by max-buffer-size', async () => {
    await using receiver = new DelimitedReceiver(10, await freePort());
    const { monitor } = await open(syslogTo(receiver.port, { mode: 'non-blocking', 'max-buffer-size': '10k' }));
    monitor.writeLines(lines(0, 1000));
    await eventually('it says so', () => said.some(line => line.includes('dropped')));
    await receiver.start();
    await eventually('the newest line', () => textsOf(receiver).includes('line 999'));
    const count = receiver.messages.length;
    expect(count).toBeLessThan(200);
    expect(count).toBeGreaterThan(150);
    expect(textsOf(receiver)).toEqual(lines(1000 - count, 1000));
  });

  test('the next daemon goes on where the last one was, also for a run that has ended', async () => {
    await using receiver = new DelimitedReceiver(10);
    await receiver.start();
    const logConfig = syslogTo(receiver.port);
    const first = await open(logConfig);
    first.monitor.writeLines(lines(0, 500));
    await eventually('the first ones', () => receiver.messages.length === 500);
    await store.close();
    // While there is no daemon.
    first.monitor.writeLines(lines(500, 700));
    store = newStore();
    expect(await store.resume(someSubject(logConfig))).toBe(true);
    await eventually('the rest', () => receiver.messages.length >= 700);
    expect(textsOf(receiver)).toEqual(lines(0, 700));
    await eventually('it is done', async () => (await newStore().resume(someSubject(logConfig))) === false);
  });

  test('a slow receiver slows nobody down but what goes to it', async () => {
    await using receiver = new DelimitedReceiver(10);
    receiver.isPaused = true;
    await receiver.start();
    const logConfig = syslogTo(receiver.port, { 'cache-disabled': 'true' });
    const { log, monitor } = await open(logConfig);
    const long = lines(0, 20_000).map(line => `${line} ${'x'.repeat(1000)}`);
    for (let from = 0; from < long.length; from += 1000) monitor.writeLines(long.slice(from, from + 1000));
    await log.end({ removesLog: false });
    receiver.resume();
    await eventually('all lines', () => receiver.messages.length === long.length);
    expect(textsOf(receiver)).toEqual(long);
    await eventually('nothing is kept', () => readdirSync(`${dir}/c/log`).join() === 'position');
  });
});

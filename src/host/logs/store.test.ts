import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { kindOf, messageOf } from '#base/errors.ts';
import { silentLogger } from '#base/log.ts';
import type { LogConfig, LogStore, OpenLog, ReadLogs } from '#core/logs.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { openLogStore } from './store.ts';
import { Monitor, someSubject as subject, written } from './test-monitor.ts';

const local: LogConfig = { type: 'local', config: {} };

// Lines of both streams in pieces that alternate, and a last one without an end.
const log = [
  written(1, 'stdout', 'F', 'one'),
  written(2, 'stdout', 'P', 'tw'),
  written(3, 'stderr', 'F', 'err'),
  written(4, 'stdout', 'F', 'o'),
  written(5, 'stdout', 'F', 'three'),
  written(6, 'stdout', 'P', 'part'),
].join('');

describe('what a monitor wrote', () => {
  let dir: string;
  let store: LogStore;
  let file: string;

  beforeEach(() => {
    dir = mkdtempSync('/tmp/berth-logs-');
    store = openLogStore({ dir, log: silentLogger, render: text => text, journalSocket: `${dir}/journal` });
    file = `${dir}/c/log/current`;
    mkdirSync(`${dir}/c/log`, { recursive: true });
  });
  afterEach(async () => {
    await store.close();
    rmSync(dir, { recursive: true });
  });

  const read = async (options: Partial<ReadLogs> = {}): Promise<string[]> => {
    const lines: string[] = [];
    for await (const batch of store.read('c', local, { stdout: true, stderr: true, ...options }, AbortSignal.timeout(5000))) {
      for (const entry of batch) lines.push(`${entry.time.slice(17, 19)} ${entry.stream} ${new TextDecoder().decode(entry.line)}`);
    }
    return lines;
  };
  const all = ['01 stdout one\n', '03 stderr err\n', '04 stdout two\n', '05 stdout three\n', '06 stdout part'];

  test('puts the pieces of a line together', async () => {
    writeFileSync(file, log);
    expect(await read()).toEqual(all);
  });

  test.each([0, 1, 2, 3, 4, 5, 9])('tail %d gives whole lines only', async tail => {
    writeFileSync(file, log);
    expect(await read({ tail })).toEqual(tail === 0 ? [] : all.slice(-tail));
  });

  test('tail finds its lines in a file larger than what is read at once', async () => {
    const lines = Array.from({ length: 20_000 }, (_, at) => written(at % 60, 'stdout', 'F', `line ${String(at)}`));
    writeFileSync(file, lines.join(''));
    const seen = await read({ tail: 5000 });
    expect(seen).toHaveLength(5000);
    expect(seen[0]).toEndWith('line 15000\n');
  });

  test('chooses by stream and by time, both ends included', async () => {
    writeFileSync(file, log);
    const at = (second: number): bigint => BigInt(Date.UTC(2026, 0, 2, 3, 4, second)) * 1_000_000n + 5n;
    expect(await read({ stdout: false })).toEqual(['03 stderr err\n']);
    expect(await read({ sinceNano: at(5) })).toEqual(all.slice(3));
    expect(await read({ sinceNano: at(5) + 1n })).toEqual(all.slice(4));
    expect(await read({ untilNano: at(3) })).toEqual(all.slice(0, 2));
    expect(await read({ untilNano: at(1) })).toEqual(all.slice(0, 1));
  });

  test('since finds its line in a large file', async () => {
    const lines = Array.from({ length: 6000 }, (_, at) => written(Math.floor(at / 100), 'stdout', 'F', 'x'.repeat(100)));
    writeFileSync(file, lines.join(''));
    expect(await read({ sinceNano: BigInt(Date.UTC(2026, 0, 2, 3, 4, 58)) * 1_000_000n })).toHaveLength(200);
  });

  test('gives a line of more than 16 KiB in pieces of that size', async () => {
    const pieces = Array.from({ length: 5 }, () => written(1, 'stdout', 'P', 'x'.repeat(8192)));
    writeFileSync(file, [...pieces, written(1, 'stdout', 'F', 'end'), written(2, 'stdout', 'F', 'next')].join(''));
    const sizes = (await read()).map(line => line.length - '01 stdout '.length);
    expect(sizes).toEqual([16_384, 16_384, 8192 + 4, 5]);
  });

  test('leaves out a line that a crash cut off', async () => {
    writeFileSync(file, `${written(1, 'stdout', 'F', 'one')}2026-01-02T03:04:02.000`);
    expect(await read()).toEqual(['01 stdout one\n']);
    expect(await read({ tail: 1 })).toEqual(['01 stdout one\n']);
  });

  test('a log that is not there is empty', async () => {
    expect(await read()).toEqual([]);
    expect(await read({ tail: 3, follow: { ended: Promise.resolve() } })).toEqual([]);
  });

  test('follows what is written later, the file not being there at first, until the container has ended', async () => {
    const ended = Promise.withResolvers<void>();
    const lines: string[] = [];
    const options = { stdout: true, stderr: true, follow: { ended: ended.promise } };
    for await (const batch of follow(store, options, () => appendFileSync(file, written(1, 'stdout', 'F', 'first')))) {
      lines.push(...batch);
      if (lines.length === 1) appendFileSync(file, `${written(2, 'stdout', 'F', 'second')}${written(3, 'stdout', 'P', 'last')}`);
      // The end comes together with the last lines: they are not lost.
      if (lines.length === 2) {
        appendFileSync(file, written(4, 'stderr', 'F', 'third'));
        ended.resolve();
      }
    }
    expect(lines).toEqual(['first\n', 'second\n', 'third\n', 'last']);
  });

  test('following ends with the caller', async () => {
    const caller = new AbortController();
    const reading = (async () => {
      const options = { stdout: true, stderr: true, follow: { ended: new Promise(() => undefined) } };
      for await (const _batch of store.read('c', local, options, caller.signal)) caller.abort(new DOMException('gone', 'AbortError'));
    })();
    writeFileSync(file, log);
    expect(kindOf(await reading.catch((err: unknown) => err))).toBe('Canceled');
  });

  test.each([
    { type: 'none', config: {} },
    { type: 'syslog', config: { 'cache-disabled': 'true' } },
  ])('%o cannot be read', config => {
    expect(store.path('c', config.type)).toBeUndefined();
    try {
      store.read('c', config, { stdout: true, stderr: true }, AbortSignal.timeout(1000));
      throw new Error('it did not throw');
    } catch (err) {
      expect(kindOf(err)).toBe('NotImplemented');
      expect(messageOf(err)).toBe('configured logging driver does not support reading');
    }
  });
});

describe('a run’s log', () => {
  let dir: string;
  let store: LogStore;
  let asked = 0;
  let held = 0;

  const newStore = (): LogStore => openLogStore({ dir, log: silentLogger, render: text => text, journalSocket: `${dir}/journal` });
  beforeEach(() => {
    dir = mkdtempSync('/tmp/berth-logs-');
    store = newStore();
    asked = held = 0;
  });
  afterEach(async () => {
    await store.close();
    rmSync(dir, { recursive: true });
  });

  const open = async (logConfig: LogConfig, goesOn = false): Promise<{ log: OpenLog; monitor: Monitor }> => {
    const hold = async (): Promise<Disposable> => {
      held += 1;
      return { [Symbol.dispose]: () => void (held -= 1) };
    };
    const log = await store.open(
      subject(logConfig),
      { goesOn, isFlowing: () => false, beginCapture: () => void (asked += 1), hold },
      AbortSignal.timeout(5000),
    );
    if (log === undefined) throw new Error('nothing was opened');
    log.begin();
    return { log, monitor: new Monitor(log.capturePath) };
  };
  const read = async (logConfig: LogConfig, options: Partial<ReadLogs> = {}): Promise<string> => {
    let text = '';
    for await (const batch of store.read('c', logConfig, { stdout: true, stderr: true, ...options }, AbortSignal.timeout(5000))) {
      for (const { line } of batch) text += Buffer.from(line).toString('latin1');
    }
    return text;
  };
  const jsonFile = (name = 'c-json.log'): string => readFileSync(`${dir}/c/${name}`, 'latin1');
  const captured = (): string[] => readdirSync(`${dir}/c/log`).toSorted();
  const json = (config: LogConfig['config'] = {}): LogConfig => ({ type: 'json-file', config });

  test('json-file: Docker’s bytes for text, markup, control characters, what is not UTF-8, long and unfinished lines', async () => {
    const { log, monitor } = await open(json());
    monitor.write(1, 'F', 'a"b\\c <&>\t\x1b\r é');
    appendFileSync(monitor.path, Buffer.from(written(2, 'stderr', 'F', 'x\xffy\xe2\x80\xa8'), 'latin1'));
    for (const size of [8192, 8192, 100]) monitor.write(3, 'P', 'z'.repeat(size));
    monitor.write(3, 'F', '!');
    monitor.write(4, 'P', 'no end');
    await log.end({ removesLog: false });
    const time = (second: number): string => `"time":"2026-01-02T03:04:0${String(second)}.000000005Z"}`;
    expect(Buffer.from(jsonFile(), 'latin1').toString('utf8').split('\n')).toEqual([
      `{"log":"a\\"b\\\\c \\u003c\\u0026\\u003e\\u0009\\u001b\\r é\\n","stream":"stdout",${time(1)}`,
      `{"log":"x\\ufffdy\\u2028\\n","stream":"stderr",${time(2)}`,
      `{"log":"${'z'.repeat(16_384)}","stream":"stdout",${time(3)}`,
      `{"log":"${'z'.repeat(100)}!\\n","stream":"stdout",${time(3)}`,
      `{"log":"no end","stream":"stdout",${time(4)}`,
      '',
    ]);
    expect(captured()).toEqual(['position']);
  });

  test('json-file: attributes, and times without the zeros at their end', async () => {
    const { log, monitor } = await open(json({ labels: 'part,none', 'env-regex': '^B', tag: 'my tag' }));
    appendFileSync(monitor.path, '2026-01-02T03:04:05.100000000+00:00 stdout F x\n2026-01-02T03:04:06.000000000+00:00 stdout F \n');
    await log.end({ removesLog: false });
    const attributes = '"attrs":{"B":"2","part":"one","tag":"my tag"}';
    expect(jsonFile()).toBe(
      `{"log":"x\\n","stream":"stdout",${attributes},"time":"2026-01-02T03:04:05.1Z"}\n` +
        `{"log":"\\n","stream":"stdout",${attributes},"time":"2026-01-02T03:04:06Z"}\n`,
    );
    expect(store.details(subject(json({ labels: 'part', tag: 't' })))).toEqual({ part: 'one', tag: 't' });
    expect(await read(json(), { untilNano: BigInt(Date.UTC(2026, 0, 2, 3, 4, 5, 100)) * 1_000_000n })).toBe('x\n');
    expect(await read(json(), { sinceNano: BigInt(Date.UTC(2026, 0, 2, 3, 4, 6)) * 1_000_000n })).toBe('\n');
    expect(await read(json(), { tail: 1 })).toBe('\n');
  });

  test('json-file: readers and followers get what was written up to now through all files', async () => {
    const config = json({ 'max-size': '1k', 'max-file': '3', compress: 'true' });
    const { log, monitor } = await open(config);
    const ended = Promise.withResolvers<void>();
    const followed = read(config, { follow: { ended: ended.promise } });
    let all = '';
    for (let at = 0; at < 200; at += 1) {
      monitor.write(at % 60, 'F', `line ${String(at)}`);
      all += `line ${String(at)}\n`;
      if (at % 20 === 0) expect((await read(config)).endsWith(`line ${String(at)}\n`)).toBe(true);
    }
    await log.end({ removesLog: false });
    ended.resolve();
    expect(all.endsWith(await followed)).toBe(true);
    const names = readdirSync(`${dir}/c`).filter(name => name.includes('json.log'));
    expect(names.toSorted()).toEqual(['c-json.log', 'c-json.log.1.gz', 'c-json.log.2.gz']);
    const oldest = gunzipSync(readFileSync(`${dir}/c/c-json.log.2.gz`)).toString();
    expect(oldest.length).toBeGreaterThanOrEqual(1000);
    expect(oldest.length).toBeLessThan(1100);
    const kept = await read(config);
    expect(all.endsWith(kept)).toBe(true);
    expect(await read(config, { tail: 25 })).toBe(all.split('\n').slice(-26).join('\n'));
  });

  test('json-file: a daemon that dies between writing and recording neither loses nor repeats anything', async () => {
    const config = json({ 'max-size': '1k', 'max-file': '100' });
    const whole = Array.from({ length: 100 }, (_, at) => `line ${String(at)}`);
    for (let cut = 0; cut < 6; cut += 1) {
      rmSync(`${dir}/c`, { recursive: true, force: true });
      store = newStore();
      const { monitor } = await open(config);
      for (const [at, line] of whole.slice(0, 40).entries()) monitor.write(at % 60, 'F', line);
      await read(config);
      const position = readFileSync(`${dir}/c/log/position`);
      for (const [at, line] of whole.slice(40, 48).entries()) monitor.write(at % 60, 'F', line);
      await read(config);
      await store.close();
      // As if the last lines had been written in part, and the position not.
      writeFileSync(`${dir}/c/log/position`, position);
      truncateSync(`${dir}/c/c-json.log`, jsonFile().length - cut * 50);
      store = newStore();
      const again = await open(config, true);
      for (const [at, line] of whole.slice(48).entries()) again.monitor.write(at % 60, 'F', line);
      await again.log.end({ removesLog: false });
      expect(await read(config)).toBe(`${whole.join('\n')}\n`);
      await store.close();
    }
  });

  test('json-file: the capture of a chatty container begins anew and goes when it was passed on', async () => {
    const config = json({ 'max-size': '-1' });
    const { log, monitor } = await open(config);
    const line = 'x'.repeat(8000);
    for (let at = 0; at < 600; at += 1) monitor.write(at % 60, 'F', line);
    await eventually('it is asked to begin anew', () => asked > 0);
    monitor.beginAnew();
    monitor.write(1, 'F', 'after');
    await read(config);
    await eventually('the full one is gone', () => captured().join() === '2,current,position');
    await log.end({ removesLog: false });
    expect(jsonFile().split('\n')).toHaveLength(602);
    expect(captured()).toEqual(['position']);
    expect(log.captureMaxBytes).toBeUndefined();
  });

  test('json-file: without a limit asked for, 100 MB are kept', async () => {
    expect((await open(json())).log.captureMaxBytes).toBe(100_000_000);
  });

  test('a run that ends without a reader is not written out when its log is to be removed, and is when somebody reads', async () => {
    const config = json();
    const { log, monitor } = await open(config);
    const ended = Promise.withResolvers<void>();
    const followed = read(config, { follow: { ended: ended.promise } });
    await Bun.sleep(0);
    monitor.write(1, 'F', 'last');
    await log.end({ removesLog: true });
    ended.resolve();
    expect(await followed).toBe('last\n');
  });

  test('local: full files become small, older ones go', async () => {
    const config: LogConfig = { type: 'local', config: { 'max-size': '2k', 'max-file': '3' } };
    const { log, monitor } = await open(config);
    let all = '';
    let before = 0;
    for (let at = 0; at < 600; at += 1) {
      monitor.write(at % 60, 'F', `line ${String(at)}`);
      all += `line ${String(at)}\n`;
      if (at % 60 === 59) {
        await eventually('it is asked to begin anew', () => asked > before);
        before = asked;
        monitor.beginAnew();
      }
    }
    await log.end({ removesLog: false });
    await eventually('three files are left', () => captured().filter(name => /^\d/.test(name)).length <= 3);
    const kept = await read(config);
    expect(kept.length).toBeGreaterThan(500);
    expect(all.endsWith(kept)).toBe(true);
    await eventually('full files are compressed', () => captured().some(name => name.endsWith('.gz')));
  });

  test('local: a run goes on in the file of the one before', async () => {
    const config: LogConfig = { type: 'local', config: {} };
    for (const text of ['first', 'second']) {
      const { log, monitor } = await open(config);
      monitor.write(1, 'F', text);
      await log.end({ removesLog: false });
    }
    expect(await read(config)).toBe('first\nsecond\n');
    expect(captured()).toEqual(['1', 'current']);
  });
});

async function* follow(store: LogStore, options: ReadLogs, begin: () => void): AsyncGenerator<string[]> {
  const batches = store.read('c', local, options, AbortSignal.timeout(5000))[Symbol.asyncIterator]();
  let next = batches.next();
  begin();
  for (;;) {
    const { done, value } = await next;
    if (done === true) return;
    yield value.map(entry => new TextDecoder().decode(entry.line));
    next = batches.next();
  }
}

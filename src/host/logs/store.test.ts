import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { kindOf, messageOf } from '#base/errors.ts';
import { silentLogger } from '#base/log.ts';
import type { LogKeeper, LogStore, ReadLogs } from '#core/logs.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { openLogStore } from './store.ts';

const written = (second: number, stream: 'stdout' | 'stderr', tag: 'F' | 'P', text: string): string =>
  `2026-01-02T03:04:${String(second).padStart(2, '0')}.000000005+00:00 ${stream} ${tag} ${text}\n`;

// Lines of both streams in pieces that alternate, and a last one without an end.
const log = [
  written(1, 'stdout', 'F', 'one'),
  written(2, 'stdout', 'P', 'tw'),
  written(3, 'stderr', 'F', 'err'),
  written(4, 'stdout', 'F', 'o'),
  written(5, 'stdout', 'F', 'three'),
  written(6, 'stdout', 'P', 'part'),
].join('');

describe('LogStore', () => {
  let dir: string;
  let store: LogStore;
  let file: string;

  beforeEach(() => {
    dir = mkdtempSync('/tmp/berth-logs-');
    store = openLogStore({ dir, log: silentLogger });
    file = store.path('c', 'json-file') ?? '';
    mkdirSync(`${dir}/c`);
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const read = async (options: Partial<ReadLogs> = {}): Promise<string[]> => {
    const lines: string[] = [];
    for await (const batch of store.read('c', 'json-file', { stdout: true, stderr: true, ...options }, AbortSignal.timeout(5000))) {
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
      for await (const _batch of store.read('c', 'json-file', options, caller.signal)) caller.abort(new DOMException('gone', 'AbortError'));
    })();
    writeFileSync(file, log);
    expect(kindOf(await reading.catch((err: unknown) => err))).toBe('Canceled');
  });

  test('keeps older generations, and reads and follows through them', async () => {
    const ended = Promise.withResolvers<void>();
    writeFileSync(file, written(1, 'stdout', 'F', 'one'));
    using _kept = (store as LogStore & LogKeeper).keep('c', 3);
    // As the monitor does at the limit: an empty file takes the place of the full one.
    const beginAnew = (): void => {
      writeFileSync(`${file}.tmp`, '');
      renameSync(`${file}.tmp`, file);
    };
    const lines: string[] = [];
    const options = { stdout: true, stderr: true, follow: { ended: ended.promise } };
    for await (const batch of follow(store, options, () => undefined)) {
      lines.push(...batch);
      if (lines.length < 4) {
        beginAnew();
        appendFileSync(file, written(lines.length + 1, 'stdout', 'F', ['two', 'three', 'four'][lines.length - 1] ?? ''));
      } else ended.resolve();
    }
    expect(lines).toEqual(['one\n', 'two\n', 'three\n', 'four\n']);
    await eventually('three generations', () => existsSync(`${file}.2`));
    expect(await read()).toEqual(['02 stdout two\n', '03 stdout three\n', '04 stdout four\n']);
    expect(await read({ tail: 2 })).toEqual(['03 stdout three\n', '04 stdout four\n']);
    await store.remove('c');
    expect(readdirSync(`${dir}/c`)).toEqual([]);
  });

  test('a driver without a file cannot be read', () => {
    expect(store.path('c', 'none')).toBeUndefined();
    try {
      store.read('c', 'none', { stdout: true, stderr: true }, AbortSignal.timeout(1000));
      throw new Error('it did not throw');
    } catch (err) {
      expect(kindOf(err)).toBe('NotImplemented');
      expect(messageOf(err)).toBe('configured logging driver does not support reading');
    }
  });
});

async function* follow(store: LogStore, options: ReadLogs, begin: () => void): AsyncGenerator<string[]> {
  const batches = store.read('c', 'json-file', options, AbortSignal.timeout(5000))[Symbol.asyncIterator]();
  let next = batches.next();
  begin();
  for (;;) {
    const { done, value } = await next;
    if (done === true) return;
    yield value.map(entry => new TextDecoder().decode(entry.line));
    next = batches.next();
  }
}

import { describe, expect, test } from 'bun:test';
import { zstdCompressSync } from 'node:zlib';
import { kindOf, messageOf } from '#base/errors.ts';
import type { CompressionForm } from '#core/compression.ts';
import { compress } from './compress.ts';
import { decompress } from './decompress.ts';

const signal = new AbortController().signal;
const plain = new TextEncoder().encode('all the same '.repeat(100_000));

async function* pieces(bytes: Uint8Array, size = 7_001): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += size) {
    await Promise.resolve();
    yield bytes.subarray(at, at + size);
  }
}

async function all(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of source) parts.push(chunk.slice());
  return Buffer.concat(parts);
}

const withProgram = (name: string): Uint8Array => Bun.spawnSync([name, '-c'], { stdin: plain }).stdout;

const formats: Record<string, () => Uint8Array> = {
  nothing: () => plain,
  gzip: () => Bun.gzipSync(plain),
  zstd: () => zstdCompressSync(plain),
  bzip2: () => withProgram('bzip2'),
  xz: () => withProgram('xz'),
};

describe('decompress()', () => {
  for (const [name, make] of Object.entries(formats)) {
    test(`undoes ${name}`, async () => {
      expect(Buffer.compare(await all(decompress(pieces(make(), 5), { signal })), plain)).toBe(0);
    });
    if (name === 'nothing' || name === 'zstd') continue;
    test(`notices ${name} that is cut off`, async () => {
      const cut = make().slice(0, -20);
      const failure = await all(decompress(pieces(cut), { signal })).catch((err: unknown) => err);
      expect(kindOf(failure)).toBe('DataLoss');
    });
  }

  test('passes very short input through', async () => {
    expect((await all(decompress(pieces(new Uint8Array([1, 2])), { signal }))).length).toBe(2);
    expect((await all(decompress(pieces(new Uint8Array(0)), { signal }))).length).toBe(0);
  });

  test('reports a failure of the source, and closes it when left early', async () => {
    async function* broken(): AsyncGenerator<Uint8Array, void, undefined> {
      yield await Promise.resolve(Bun.gzipSync(plain).slice(0, 100));
      throw new Error('line went dead');
    }
    expect(await all(decompress(broken(), { signal })).catch(messageOf)).toBe('line went dead');
    let closed = false;
    async function* watched(): AsyncGenerator<Uint8Array, void, undefined> {
      try {
        yield* pieces(plain);
      } finally {
        closed = true;
      }
    }
    const reading = decompress(watched(), { signal });
    await reading[Symbol.asyncIterator]().next();
    await reading[Symbol.asyncIterator]().return?.();
    expect(closed).toBe(true);
  });
});

describe('compress()', () => {
  const chance = (bytes: number): Uint8Array => {
    const made = new Uint8Array(bytes);
    for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(made.subarray(at, at + 65_536));
    return made;
  };
  const long = Buffer.concat([plain, chance(1_000_000), plain, chance(300_000), plain]);

  test('gives what decompress() and gzip undo', async () => {
    for (const content of [new Uint8Array(0), plain, long]) {
      const packed = await all(compress(pieces(content), { signal }));
      expect(Buffer.compare(await all(decompress(pieces(packed), { signal })), content)).toBe(0);
      expect(Buffer.compare(Bun.spawnSync(['gzip', '-dc'], { stdin: packed }).stdout, content)).toBe(0);
    }
  });

  test('gives the same bytes every time, however the content arrives', async () => {
    const once = await all(compress(pieces(long), { signal }));
    expect(Buffer.compare(once, await all(compress(pieces(long, 100_003), { signal })))).toBe(0);
  });

  test('makes one member that is as small as that of gzip', async () => {
    const packed = await all(compress(pieces(long), { signal }));
    expect(packed.length).toBeLessThan(Bun.gzipSync(long).length * 1.01);
    // A second member would be left over.
    expect(Bun.gunzipSync(new Uint8Array(packed)).length).toBe(long.length);
  });

  test('ends with the failure of its source', async () => {
    async function* broken(): AsyncGenerator<Uint8Array, void, undefined> {
      yield await Promise.resolve(chance(600_000));
      throw new Error('line went dead');
    }
    expect(await all(compress(broken(), { signal })).catch(messageOf)).toBe('line went dead');
  });
});

test('compress() takes levels, and makes zstd too', async () => {
  const packed = async (form: CompressionForm): Promise<Buffer> => await all(compress(pieces(plain), { signal, form }));
  const [stored, small, zstd] = [
    await packed({ format: 'gzip', level: 0 }),
    await packed({ format: 'gzip', level: 9 }),
    await packed({ format: 'zstd', level: 3 }),
  ];
  expect([stored.length > plain.length, small.length < plain.length / 10, zstd.length < plain.length / 10]).toEqual([true, true, true]);
  expect(zstd.readUInt32LE()).toBe(0xfd2fb528);
  for (const bytes of [stored, small, zstd]) expect(Buffer.compare(await all(decompress(pieces(bytes), { signal })), plain)).toBe(0);
});

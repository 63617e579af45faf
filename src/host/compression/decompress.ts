import { createGunzip, createZstdDecompress } from 'node:zlib';
import { dataLoss, failedPrecondition, messageOf } from '#base/errors.ts';
import type { Decompress } from '#core/compression.ts';
import { transformWith } from './transform.ts';

const sniffBytes = 6;
const chunkBytes = 1024 * 1024;

export const decompress: Decompress = async function* (source, { signal }) {
  const chunks = source[Symbol.asyncIterator]();
  try {
    const head = await takeHead(chunks);
    const whole = chain(head, chunks);
    const format = formatOf(head);
    if (format === 'gzip') yield* transformWith(createGunzip({ chunkSize: chunkBytes }), whole, signal, damaged(format));
    else if (format === 'zstd') yield* transformWith(createZstdDecompress({ chunkSize: chunkBytes }), whole, signal, damaged(format));
    else if (format !== undefined) yield* throughProgram(format, whole, signal);
    else yield* whole;
  } finally {
    await chunks.return?.();
  }
};

type Format = 'gzip' | 'zstd' | 'bzip2' | 'xz';

const magics: readonly (readonly [Format, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b, 0x08]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];

const formatOf = (head: Uint8Array): Format | undefined =>
  magics.find(([, magic]) => magic.every((byte, index) => head[index] === byte))?.[0];

async function takeHead(chunks: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let head: Uint8Array = new Uint8Array(0);
  while (head.length < sniffBytes) {
    const { done, value } = await chunks.next();
    if (done === true) break;
    head = head.length === 0 ? value : Buffer.concat([head, value]);
  }
  return head;
}

async function* chain(head: Uint8Array, chunks: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  if (head.length > 0) yield head;
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
}

const damaged =
  (format: Format) =>
  (cause: unknown): unknown =>
    dataLoss(`damaged ${format} data: ${messageOf(cause)}`, { cause });

/** bzip2 and xz are rare: their programs do it. */
async function* throughProgram(
  format: 'bzip2' | 'xz',
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (Bun.which(format) === null) {
    throw failedPrecondition(`the data is compressed with ${format}, and the program "${format}" is not installed on this machine`);
  }
  const child = Bun.spawn([format, '-dc'], { stdin: 'pipe', stdout: 'pipe', stderr: 'pipe', signal, killSignal: 'SIGKILL' });
  let failure: unknown;
  const feeding = (async () => {
    for await (const chunk of source) {
      void child.stdin.write(chunk);
      await child.stdin.flush();
      if (child.exitCode !== null) return;
    }
    await child.stdin.end();
  })().catch((err: unknown) => {
    failure = err;
    child.kill('SIGKILL');
  });
  try {
    for await (const chunk of child.stdout) yield chunk;
    const words = await new Response(child.stderr).text();
    const status = await child.exited;
    await feeding;
    signal.throwIfAborted();
    if (failure instanceof Error) throw failure;
    if (status !== 0) throw dataLoss(`damaged ${format} data: ${words.trim()}`);
  } finally {
    child.kill('SIGKILL');
    await child.exited;
  }
}

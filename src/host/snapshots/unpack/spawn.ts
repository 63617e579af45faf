import { closeSync, openSync, readSync } from 'node:fs';
import { type ErrorKind, EngineError, internal, isErrno, notFound } from '#base/errors.ts';
import type { LayerCompression, LayerInput } from '#core/snapshots.ts';
import { selfCommand } from '#host/sys/self.ts';
import type { UnpackReport, UnpackResult } from './result.ts';

/** Unpacks a layer tar into an empty directory, in a process of its own. The caller removes the directory when this rejects. */
export async function unpackInto(directory: string, input: LayerInput, signal: AbortSignal): Promise<UnpackReport> {
  signal.throwIfAborted();
  return 'path' in input ? await unpackFile(directory, input, signal) : await unpackStream(directory, input, signal);
}

async function unpackFile(directory: string, input: Extract<LayerInput, { path: string }>, signal: AbortSignal): Promise<UnpackReport> {
  const fd = openLayer(input.path);
  try {
    const head = new Uint8Array(6);
    const count = readSync(fd, head, 0, head.length, 0);
    const child = start(directory, input.compression ?? detectCompression(head.subarray(0, count)), fd, signal);
    return await resultOf(child, signal);
  } finally {
    closeSync(fd);
  }
}

async function unpackStream(
  directory: string,
  input: Extract<LayerInput, { stream: unknown }>,
  signal: AbortSignal,
): Promise<UnpackReport> {
  const chunks = input.stream[Symbol.asyncIterator]();
  let isFinished = false;
  try {
    const { head, compression } = await takeHead(chunks, input.compression);
    const diffId = compression === 'none' ? input.diffId : undefined;
    // It may fail before anybody looks at it.
    diffId?.catch(() => undefined);
    const child = start(directory, compression, 'pipe', signal, diffId === undefined);
    const result = resultOf(child, signal);
    // A child that refuses the archive ends before it has read everything; its own words are the error then.
    const ended = result.then(
      () => true,
      () => true,
    );
    const { stdin } = child;
    if (typeof stdin === 'number' || stdin === undefined) throw internal('the unpacking process has no stdin');
    // False when the child has ended.
    const send = async (chunk: Uint8Array): Promise<boolean> => {
      const sent = Promise.resolve(stdin.write(chunk)).then(() => stdin.flush());
      return await Promise.race([sent.then(() => true), ended.then(() => false)]);
    };
    const feed = async (): Promise<void> => {
      for (const chunk of head) if (!(await send(chunk))) return;
      for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
        signal.throwIfAborted();
        if (!(await send(next.value))) return;
      }
      isFinished = true;
      await stdin.end();
    };
    try {
      await feed();
    } catch (err) {
      if (!isErrno(err, 'EPIPE')) {
        child.kill('SIGKILL');
        await ended;
        throw err;
      }
    }
    const report = await result;
    return diffId === undefined ? report : { ...report, diffId: await diffId };
  } finally {
    if (!isFinished) await chunks.return?.();
  }
}

type Child = ReturnType<typeof start>;

const start = (directory: string, compression: LayerCompression, stdin: number | 'pipe', signal: AbortSignal, isHashed = true) =>
  Bun.spawn(selfCommand('internal-unpack', directory, compression, String(process.pid), ...(isHashed ? [] : ['unhashed'])), {
    stdin,
    stdout: 'pipe',
    stderr: 'pipe',
    env: { PATH: process.env.PATH ?? '' },
    signal,
    killSignal: 'SIGKILL',
  });

async function resultOf(child: Child, signal: AbortSignal): Promise<UnpackReport> {
  const [output, words] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  signal.throwIfAborted();
  if (output === '') {
    const status = child.signalCode ?? `status ${String(child.exitCode)}`;
    throw internal(`the process that unpacks a layer ended with ${status} and no result${words === '' ? '' : `: ${words.trim()}`}`);
  }
  const result = JSON.parse(output) as UnpackResult;
  if (!result.ok) throw new EngineError(result.kind satisfies ErrorKind, result.message);
  return result;
}

function openLayer(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (err) {
    throw isErrno(err, 'ENOENT') ? notFound(`layer archive ${path} is not there`, { cause: err }) : err;
  }
}

/** Reads until the compression can be told; returns what was read as well. */
async function takeHead(
  chunks: AsyncIterator<Uint8Array>,
  known: LayerCompression | undefined,
): Promise<{ head: Uint8Array[]; compression: LayerCompression }> {
  if (known !== undefined) return { head: [], compression: known };
  const head: Uint8Array[] = [];
  let bytes = 0;
  while (bytes < 6) {
    const { done, value } = await chunks.next();
    if (done === true) break;
    head.push(value);
    bytes += value.length;
  }
  return { head, compression: detectCompression(Buffer.concat(head.map(chunk => chunk.subarray(0, 6)))) };
}

const magics: readonly (readonly [LayerCompression, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b, 0x08]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];

/** By the first bytes; six are enough. */
export function detectCompression(head: Uint8Array): LayerCompression {
  return magics.find(([, magic]) => magic.every((byte, i) => head[i] === byte))?.[0] ?? 'none';
}

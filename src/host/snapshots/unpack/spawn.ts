import { closeSync, openSync, readSync } from 'node:fs';
import { type ErrorKind, EngineError, internal, isErrno, notFound } from '#base/errors.ts';
import type { LayerCompression, LayerInput } from '#core/snapshots.ts';
import { selfCommand } from '#host/sys/self.ts';
import { detectCompression } from './detect.ts';
import { encodeReadable } from './growing.ts';
import type { UnpackReport, UnpackResult } from './result.ts';

export interface UnpackOptions {
  /**
   * The archive is no layer: its directory may hold files, `.wh.` means nothing, and directories that were there keep their times unless the archive names
   * them.
   */
  readonly plain?: boolean;
  /** Whom everything belongs to, whatever the archive says. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** A tar of more uncompressed bytes is refused with ResourceExhausted; undefined: any size. */
  readonly maxBytes?: number | undefined;
  /** A file to be made, with which the archive can be made again of its files; see RecipeWriter. */
  readonly recipePath?: string;
}

/** Unpacks a layer tar into an empty directory, in a process of its own. The caller removes the directory when this rejects. */
export async function unpackInto(
  directory: string,
  input: LayerInput,
  signal: AbortSignal,
  options: UnpackOptions = {},
): Promise<UnpackReport> {
  signal.throwIfAborted();
  if ('path' in input) return await unpackFile(directory, input, signal, options);
  return 'growing' in input
    ? await unpackGrowing(directory, input, signal, options)
    : await unpackStream(directory, input, signal, options);
}

async function unpackFile(
  directory: string,
  input: Extract<LayerInput, { path: string }>,
  signal: AbortSignal,
  options: UnpackOptions,
): Promise<UnpackReport> {
  const fd = openLayer(input.path);
  try {
    const head = new Uint8Array(6);
    const count = readSync(fd, head, 0, head.length, 0);
    const compression = input.compression ?? detectCompression(head.subarray(0, count));
    const child = start({ directory, compression, stdin: fd, signal, options });
    return await resultOf(child, signal);
  } finally {
    closeSync(fd);
  }
}

/** The child reads the file itself; all it is told is how far it may. */
async function unpackGrowing(
  directory: string,
  input: Extract<LayerInput, { growing: unknown }>,
  signal: AbortSignal,
  options: UnpackOptions,
): Promise<UnpackReport> {
  // Before the first await: its name may change then.
  const file = openLayer(input.growing.path);
  try {
    const compression = input.compression ?? 'detect';
    const diffId = compression === 'none' ? input.diffId : undefined;
    diffId?.catch(() => undefined);
    const child = start({ directory, compression, stdin: 'pipe', file, signal, isHashed: diffId === undefined, options });
    const result = resultOf(child, signal);
    await feed(child, result, announced(input.growing.grown), signal);
    const report = await result;
    return diffId === undefined ? report : { ...report, diffId: await diffId };
  } finally {
    closeSync(file);
  }
}

async function* announced(grown: AsyncIterable<number>): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const readable of grown) yield encodeReadable(readable);
}

async function unpackStream(
  directory: string,
  input: Extract<LayerInput, { stream: unknown }>,
  signal: AbortSignal,
  options: UnpackOptions,
): Promise<UnpackReport> {
  const { head, rest, compression } = await takeHead(input.stream, input.compression);
  const diffId = compression === 'none' ? input.diffId : undefined;
  // It may fail before anybody looks at it.
  diffId?.catch(() => undefined);
  const child = start({ directory, compression, stdin: 'pipe', signal, isHashed: diffId === undefined, options });
  const result = resultOf(child, signal);
  await feed(child, result, chain(head, rest), signal);
  const report = await result;
  return diffId === undefined ? report : { ...report, diffId: await diffId };
}

/**
 * Writes everything to the child's stdin. Rejects, and ends the child, when the source fails. A child that refuses the archive ends before it has read
 * everything: that is no failure here, its own words say why.
 */
async function feed(child: Child, result: Promise<unknown>, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
  const ended = result.then(
    () => true,
    () => true,
  );
  const { stdin } = child;
  if (typeof stdin === 'number' || stdin === undefined) throw internal('the unpacking process has no stdin');
  try {
    for await (const chunk of source) {
      signal.throwIfAborted();
      const sent = Promise.resolve(stdin.write(chunk)).then(() => stdin.flush());
      if (await Promise.race([sent.then(() => false), ended])) return;
    }
    await stdin.end();
  } catch (err) {
    if (isErrno(err, 'EPIPE')) return;
    child.kill('SIGKILL');
    await ended;
    throw err;
  }
}

async function* chain(head: readonly Uint8Array[], rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* head;
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

type Child = ReturnType<typeof start>;

interface Start {
  readonly directory: string;
  readonly compression: LayerCompression | 'detect';
  readonly stdin: number | 'pipe';
  /** The layer, when stdin only says how much of it can be read. */
  readonly file?: number;
  readonly signal: AbortSignal;
  readonly isHashed?: boolean;
  readonly options?: UnpackOptions;
}

function start({ directory, compression, stdin, file, signal, isHashed = true, options = {} }: Start) {
  const flags = [
    ...(isHashed ? [] : ['unhashed']),
    ...(file === undefined ? [] : ['growing']),
    ...(options.plain === true ? ['plain'] : []),
  ];
  if (options.maxBytes !== undefined) flags.push(`max=${String(options.maxBytes)}`);
  if (options.recipePath !== undefined) flags.push(`recipe=${options.recipePath}`);
  if (options.owner !== undefined) flags.push(`owner=${String(options.owner.uid)}:${String(options.owner.gid)}`);
  return Bun.spawn(selfCommand('internal-unpack', directory, compression, String(process.pid), ...flags), {
    stdio: file === undefined ? [stdin, 'pipe', 'pipe'] : [stdin, 'pipe', 'pipe', file],
    env: { PATH: process.env.PATH ?? '' },
    signal,
    killSignal: 'SIGKILL',
  });
}

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
  stream: AsyncIterable<Uint8Array>,
  known: LayerCompression | undefined,
): Promise<{ head: Uint8Array[]; rest: AsyncIterator<Uint8Array>; compression: LayerCompression }> {
  const rest = stream[Symbol.asyncIterator]();
  const head: Uint8Array[] = [];
  if (known !== undefined) return { head, rest, compression: known };
  for (let bytes = 0; bytes < 6; ) {
    const { done, value } = await rest.next();
    if (done === true) break;
    head.push(value);
    bytes += value.length;
  }
  return { head, rest, compression: detectCompression(Buffer.concat(head.map(chunk => chunk.subarray(0, 6)))) };
}

import { once } from 'node:events';
import type { Gunzip, ZstdDecompress } from 'node:zlib';
import { dataLoss, isErrno, kindOf, messageOf, resourceExhausted } from '#base/errors.ts';
import type { LayerCompression } from '#core/snapshots.ts';
import { enterRoot, readSome } from '#host/sys/fs.ts';
import { endWithParent } from '#host/sys/parent.ts';
import { TarParser } from '#oci/tar/parser.ts';
import { RecipeWriter } from '../layer-tar/recipe.ts';
import { detectCompression } from './detect.ts';
import { Extractor, type ExtractOptions } from './extractor.ts';
import { GrowingReader } from './growing.ts';
import type { UnpackReport, UnpackResult } from './result.ts';

const readBytes = 1024 * 1024;

export interface UnpackJob {
  readonly directory: string;
  readonly compression: LayerCompression | 'detect';
  /** The process that started this one. */
  readonly parentPid: number;
  /** Whether the digest of the uncompressed bytes is wanted. */
  readonly isHashed: boolean;
  /** The layer is the file with descriptor 3, and stdin says how much of it is there (see GrowingReader). */
  readonly isGrowing: boolean;
  /** A tar of more uncompressed bytes is refused. */
  readonly maxBytes: number;
  /** Where to write how the tar is made again (see RecipeWriter); undefined: nowhere. */
  readonly recipePath: string | undefined;
  readonly extract: ExtractOptions;
}

const growingFd = 3;
const sniffBytes = 6;

/** Where the layer comes from. Read it, or have another program read the descriptor. */
interface Source {
  /** 0 is the end. */
  read(into: Uint8Array): number;
  descriptor(): number;
}

/**
 * The unpacking process: a layer tar, its files into the job's directory, which becomes the root of the process first, so that no name in the
 * archive can mean anything outside. Answers with one line of JSON on stdout.
 */
export async function unpackChild(job: UnpackJob): Promise<UnpackResult> {
  const { directory, parentPid, isHashed } = job;
  try {
    endWithParent(parentPid);
    process.umask(0);
    // External programs are out of reach once the root has changed.
    const growing = job.isGrowing ? new GrowingReader(growingFd, 0) : undefined;
    const source: Source =
      growing === undefined
        ? { read: into => readSome(0, into), descriptor: () => 0 }
        : { read: into => growing.read(into), descriptor: () => growing.complete() };
    const compression = job.compression === 'detect' ? detectCompression(growing?.peek(sniffBytes) ?? new Uint8Array()) : job.compression;
    const tar = await decompress(compression, source);
    const recipe = job.recipePath === undefined ? undefined : new RecipeWriter(job.recipePath);
    enterRoot(directory);
    return { ok: true, ...(await extract(tar, isHashed, { ...job, extract: { ...job.extract, recipe } })) };
  } catch (err) {
    const explained = explain(err);
    return { ok: false, kind: kindOf(explained), message: messageOf(explained) };
  }
}

async function extract(
  tar: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  isHashed: boolean,
  job: Pick<UnpackJob, 'extract' | 'maxBytes'>,
): Promise<UnpackReport> {
  const { recipe } = job.extract;
  const extractor = new Extractor(job.extract);
  const parser = new TarParser(extractor);
  const hasher = new Bun.CryptoHasher('sha256');
  let bytes = 0;
  const take = (chunk: Uint8Array): void => {
    bytes += chunk.length;
    if (bytes > job.maxBytes) {
      throw resourceExhausted(`refused to unpack the layer: it is larger than ${String(job.maxBytes)} bytes, the daemon's max-layer-size`);
    }
    if (isHashed) hasher.update(chunk);
    recipe?.beginChunk(chunk);
    parser.push(chunk);
    recipe?.endChunk();
  };
  if (Symbol.iterator in tar) for (const chunk of tar) take(chunk);
  else for await (const chunk of tar) take(chunk);
  parser.finish();
  const tarBytes = recipe?.finish() ?? null;
  return { ...extractor.finish(), diffId: isHashed ? `sha256:${hasher.digest('hex')}` : '', tarBytes };
}

async function decompress(compression: LayerCompression, source: Source): Promise<Iterable<Uint8Array> | AsyncIterable<Uint8Array>> {
  if (compression === 'none') return readPlain(source, new Uint8Array(readBytes));
  if (compression === 'xz' || compression === 'bzip2') return startProgram(compression, source);
  // Loading it takes as long as unpacking a small layer does.
  const { createGunzip, createZstdDecompress } = await import('node:zlib');
  const options = { chunkSize: readBytes };
  return inflate(compression === 'gzip' ? createGunzip(options) : createZstdDecompress(options), compression, source);
}

/** Every chunk is in the same buffer. */
function* readPlain(source: Source, buffer: Uint8Array): Generator<Uint8Array, void, undefined> {
  for (let count = source.read(buffer); count > 0; count = source.read(buffer)) yield buffer.subarray(0, count);
}

/** Decompression runs on another thread while this one makes files. */
async function* inflate(inflater: Gunzip | ZstdDecompress, format: string, source: Source): AsyncGenerator<Uint8Array, void, undefined> {
  const feed = async (): Promise<void> => {
    for (;;) {
      const buffer = new Uint8Array(readBytes / 4);
      const count = source.read(buffer);
      if (count === 0) break;
      if (!inflater.write(buffer.subarray(0, count))) await once(inflater, 'drain');
    }
    inflater.end();
  };
  feed().catch((err: unknown) => inflater.destroy(err instanceof Error ? err : new Error(String(err))));
  try {
    for await (const chunk of inflater) yield chunk as Uint8Array;
  } catch (err) {
    if (isErrno(err, 'EIO')) throw err;
    throw dataLoss(`damaged ${format} data in the layer: ${messageOf(err)}`, { cause: err });
  }
}

function startProgram(name: 'xz' | 'bzip2', source: Source): AsyncIterable<Uint8Array> {
  if (Bun.which(name) === null) {
    throw dataLoss(`cannot unpack a layer compressed with ${name}: the program "${name}" is not installed on this machine`);
  }
  const child = Bun.spawn([name, '-dc'], { stdin: source.descriptor(), stdout: 'pipe', stderr: 'pipe' });
  return (async function* () {
    for await (const chunk of child.stdout) yield chunk;
    if ((await child.exited) !== 0) {
      const words = (await new Response(child.stderr).text()).trim();
      throw dataLoss(`damaged ${name} data in the layer: ${words}`);
    }
  })();
}

function explain(err: unknown): unknown {
  if (isErrno(err, 'ENOSPC')) {
    return resourceExhausted('no space left on device while unpacking a layer: remove unused images or enlarge the disk', { cause: err });
  }
  if (isErrno(err, 'EDQUOT')) return resourceExhausted('disk quota exceeded while unpacking a layer', { cause: err });
  return err;
}

import { dataLoss, invalidArgument } from '#base/errors.ts';
import { type Digest, sha256, tryParseDigest } from '#oci/digest.ts';
import { readTar } from '#oci/tar/reader.ts';
import type { ImageContext } from './context.ts';
import type { Lease } from './retention.ts';
import { readHead, storeLayer, type StoredLayer } from './store-layer.ts';

/** What a saved-images archive holds, by path. */
export interface ImageArchive extends AsyncDisposable {
  /** The bytes of a small file (JSON); undefined when there is none. */
  json(path: string): Uint8Array | undefined;
  layer(path: string): StoredLayer | undefined;
  readonly hasLayers: boolean;
}

const maxJsonBytes = 8 * 1024 * 1024;
const maxJsonTotalBytes = 128 * 1024 * 1024;
/** A tar shows its magic this far in its first header. */
const tarMagicAt = 257;
const sniffBytes = tarMagicAt + 5;

/**
 * Reads an archive once, as it arrives: small files are kept, every layer is hashed, stored and unpacked at the same time. Which images there are
 * is known only at its end. Rejects with DataLoss when it is damaged or a blob does not match its name. Disposing removes unpacked layers nobody took.
 */
export async function readImageArchive(
  context: ImageContext,
  lease: Lease,
  source: AsyncIterable<Uint8Array>,
  onLayer: (path: string, bytesDone: number, bytesTotal: number) => void,
  signal: AbortSignal,
): Promise<ImageArchive> {
  const files = new Map<string, Uint8Array>();
  const layers = new Map<string, StoredLayer>();
  const links = new Map<string, string>();
  let jsonBytes = 0;
  await using undo = new AsyncDisposableStack();
  const stop = new AbortController();
  const unpacking = AbortSignal.any([signal, stop.signal]);
  undo.defer(async () => {
    stop.abort(new Error('the archive is not needed any more'));
    for (const layer of layers.values()) await dropLayer(layer);
  });

  for await (const { entry, content } of readTar(context.decompress(source, { signal }))) {
    signal.throwIfAborted();
    const path = normalizePath(entry.name);
    if (entry.type === 'symlink') links.set(path, resolveLink(path, entry.linkName));
    if (entry.type === 'link') links.set(path, normalizePath(entry.linkName));
    if (entry.type !== 'file') continue;
    const chunks = content[Symbol.asyncIterator]();
    const head = await readHead(chunks, sniffBytes);
    if (isSmallFile(path, head)) {
      jsonBytes += entry.sizeBytes;
      if (entry.sizeBytes > maxJsonBytes || jsonBytes > maxJsonTotalBytes) {
        throw invalidArgument(`invalid archive: ${path} of ${entry.sizeBytes} bytes is too large for a description of images`);
      }
      const bytes = await readRest(head, chunks);
      checkName(path, sha256(bytes));
      files.set(path, bytes);
    } else {
      const layer = await storeLayer(context, lease, {
        head,
        chunks,
        onBytes: done => onLayer(path, done, entry.sizeBytes),
        signal: unpacking,
      });
      layers.set(path, layer);
      checkName(path, layer.blob.digest);
    }
  }
  const kept = undo.move();
  const follow = (path: string): string => links.get(normalizePath(path)) ?? normalizePath(path);
  return {
    json: path => files.get(follow(path)),
    layer: path => layers.get(follow(path)),
    hasLayers: layers.size > 0,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function dropLayer(layer: StoredLayer): Promise<void> {
  const pending = await layer.take()?.catch(() => undefined);
  await pending?.[Symbol.asyncDispose]();
}

const smallNames = /(^|\/)(VERSION|repositories|oci-layout)$/;

function isSmallFile(path: string, head: Uint8Array): boolean {
  if (Buffer.from(head.subarray(tarMagicAt, sniffBytes)).toString('latin1') === 'ustar') return false;
  const first = head.find(byte => byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d);
  return smallNames.test(path) || (path.endsWith('.json') && !path.endsWith('/layer.json')) || first === 0x7b || head.length === 0;
}

/** In `blobs/<algorithm>/<hex>` the name says what the bytes are. */
function checkName(path: string, actual: Digest): void {
  const match = /^blobs\/(sha256)\/([0-9a-f]+)$/.exec(path);
  const named = match === null ? undefined : tryParseDigest(`${match[1]}:${match[2]}`);
  if (named !== undefined && named !== actual) throw dataLoss(`the archive is damaged: ${path} holds ${actual}`);
}

/** Without `./` and inner `..`; what climbs out of the archive names nothing in it. */
export function normalizePath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return parts.join('/');
}

const resolveLink = (path: string, target: string): string =>
  normalizePath(target.startsWith('/') ? target : `${path.slice(0, path.lastIndexOf('/') + 1)}${target}`);

async function readRest(head: Uint8Array, chunks: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [head.slice()];
  for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) parts.push(next.value.slice());
  return Buffer.concat(parts);
}

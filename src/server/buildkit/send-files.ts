import { createReadStream, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { invalidArgument } from '#base/errors.ts';
import { type Packet, packetType, type Stat } from '#api/buildkit/messages.ts';
import type { TarEntryType } from '#oci/tar/entry.ts';
import type { NewTarFile } from '#oci/tar/writer.ts';
import { bytesMessages } from './client-services.ts';
import type { ClientSession } from './client-session.ts';
import { codec } from './codec.ts';
import { statOf } from './result-files.ts';

const method = '/moby.filesync.v1.FileSend/DiffCopy';
/** The largest message that gets through in one piece. */
const chunkBytes = 16 * 1024;

/** Where a client puts what it is sent: the place of the exporter in its request. */
const target = (exporter: number): { 'buildkit-attachable-exporter-id': string } => ({
  'buildkit-attachable-exporter-id': String(exporter),
});

/** Sends bytes to the file, or the standard output, that a client has for an exporter. */
export async function sendBytes(
  session: Pick<ClientSession, 'call'>,
  exporter: number,
  bytes: AsyncIterable<Uint8Array>,
  metadata: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  const told = Object.fromEntries(Object.entries(metadata).map(([key, value]) => [`exporter-md-${key}`, value]));
  const call = session.call(method, { ...target(exporter), ...told }, signal);
  for await (const chunk of bytes) {
    for (let at = 0; at < chunk.length; at += chunkBytes)
      await call.send(bytesMessages.encode({ data: chunk.subarray(at, at + chunkBytes) }));
  }
  call.end();
  for await (const _message of call.messages);
}

export interface FileToSend {
  readonly stat: Stat;
  open(): AsyncIterable<Uint8Array>;
}

const packets = codec<Packet>('fsutil.types.Packet', { longs: String });

/**
 * Sends a directory to the one that a client has for an exporter: first what there is, then the contents that the client asks for.
 *
 *   [us] --stat--> … --stat of nothing--> [client] --request id--> [us] --data id--> … --data of nothing--> [client] --end--> [us] --end-->
 */
export async function sendDirectory(
  session: Pick<ClientSession, 'call'>,
  exporter: number,
  files: Iterable<FileToSend>,
  signal: AbortSignal,
): Promise<void> {
  const call = session.call(method, target(exporter), signal);
  const sent: FileToSend[] = [];
  const list = async (): Promise<void> => {
    for (const file of files) {
      sent.push(file);
      await call.send(packets.encode({ type: packetType.stat, stat: file.stat }));
    }
    await call.send(packets.encode({ type: packetType.stat }));
  };
  const listing = list();
  listing.catch(() => undefined);
  for await (const message of call.messages) {
    const packet = packets.decode(message);
    if (packet.type === packetType.error)
      throw invalidArgument(`the client could not write its files: ${new TextDecoder().decode(packet.data)}`);
    if (packet.type === packetType.end) {
      await listing;
      call.end(packets.encode({ type: packetType.end }));
      return;
    }
    if (packet.type !== packetType.request) continue;
    for await (const chunk of sent[packet.ID]?.open() ?? []) {
      for (let at = 0; at < chunk.length; at += chunkBytes)
        await call.send(packets.encode({ type: packetType.data, ID: packet.ID, data: chunk.subarray(at, at + chunkBytes) }));
    }
    await call.send(packets.encode({ type: packetType.data, ID: packet.ID }));
  }
  await listing;
}

/** What is below a directory of this machine, each directory before what is in it, names in order. `prefix`: a directory that it is all put into. */
export function* walk(root: string, prefix: string): Generator<FileToSend & { readonly place: string }, void, undefined> {
  const seen = new Map<string, string>();
  const names = prefix === '' ? [] : [prefix];
  if (prefix !== '') yield { place: root, stat: statOf(root, prefix), open: empty };
  yield* below(root, names, seen);
}

function* below(
  directory: string,
  names: readonly string[],
  seen: Map<string, string>,
): Generator<FileToSend & { readonly place: string }> {
  for (const name of readdirSync(directory).sort(byBytes)) {
    const place = join(directory, name);
    const path = [...names, name].join('/');
    const found = lstatSync(place);
    let stat = statOf(place, path);
    if (found.isFile() && found.nlink > 1) {
      const identity = `${String(found.dev)} ${String(found.ino)}`;
      const first = seen.get(identity);
      if (first === undefined) seen.set(identity, path);
      else stat = { ...stat, linkname: first, size: 0 };
    }
    yield { place, stat, open: () => (found.isFile() ? createReadStream(place) : empty()) };
    if (found.isDirectory()) yield* below(place, [...names, name], seen);
  }
}

async function* empty(): AsyncGenerator<Uint8Array, void, undefined> {
  await Promise.resolve();
}

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

const bit = (mode: number, value: number): boolean => Math.floor(mode / value) % 2 === 1;

/** The same files as members of an archive. */
export function* toTar(files: Iterable<FileToSend>): Generator<NewTarFile, void, undefined> {
  for (const { stat, open } of files) {
    const type = tarType(stat);
    if (type === undefined) continue;
    const nanos = BigInt(stat.modTime);
    const mode =
      (stat.mode & 0o777) +
      (bit(stat.mode, 2 ** 23) ? 0o4000 : 0) +
      (bit(stat.mode, 2 ** 22) ? 0o2000 : 0) +
      (bit(stat.mode, 2 ** 20) ? 0o1000 : 0);
    yield {
      entry: {
        name: stat.path,
        type,
        mode,
        uid: stat.uid,
        gid: stat.gid,
        mtime: { seconds: Number(nanos / 1_000_000_000n), nanoseconds: 0 },
        ...(stat.linkname !== '' && { linkName: stat.linkname }),
        ...(type === 'file' && { sizeBytes: stat.size }),
      },
      ...(type === 'file' && { content: open() }),
    };
  }
}

/** Undefined: nothing that an archive has. */
function tarType({ mode, linkname }: Stat): TarEntryType | undefined {
  if (bit(mode, 2 ** 31)) return 'directory';
  if (bit(mode, 2 ** 27)) return 'symlink';
  if (bit(mode, 2 ** 25)) return 'fifo';
  if (bit(mode, 2 ** 24) || bit(mode, 2 ** 26)) return undefined;
  return linkname === '' ? 'file' : 'link';
}

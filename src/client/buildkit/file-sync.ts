import { encodeMessage, Message } from './protobuf.ts';
import { type Handler } from './grpc-server.ts';

/** A file that can be sent. Times are nanoseconds. */
export interface SyncFile {
  readonly path: string;
  readonly type: 'file' | 'directory' | 'symlink' | 'fifo' | 'char' | 'block';
  /** Permissions with the set-id and sticky bits, as chmod takes them. */
  readonly mode: number;
  readonly sizeBytes: number;
  readonly modifiedNanos: bigint;
  /** What a symbolic link points to, or the path of an earlier file that this is another name of. */
  readonly link: string;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

/** What the daemon wants to know of a directory. */
export interface SyncRequest {
  readonly directory: string;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Paths whose symbolic links are to be followed, and sent with what they lead to. */
  readonly follow: readonly string[];
}

export interface SyncSource {
  /** Each directory before what is in it, names in the order of their bytes. Throws GrpcError for a directory that is not offered. */
  files(request: SyncRequest): Iterable<SyncFile>;
  chunks(request: SyncRequest, path: string): Iterable<Uint8Array>;
}

/** What a packet of a directory's transfer is. */
export const packet = { stat: 0, request: 1, data: 2, end: 3, error: 4 } as const;

/**
 * Sends a directory: first what there is, then the content of whatever the daemon does not have yet.
 *
 *   [us] --stat--> … --stat without a file--> [daemon] --request id--> [us] --data id--> … --data without bytes--> [daemon] --end--> [us] --end-->
 */
export const syncFiles =
  (source: SyncSource): Handler =>
  async call => {
    const one = (key: string): string => call.metadata.all(key)[0] ?? '';
    const request: SyncRequest = {
      directory: one('dir-name'),
      include: call.metadata.all('include-patterns'),
      exclude: call.metadata.all('exclude-patterns'),
      follow: call.metadata.all('followpaths'),
    };
    const paths: string[] = [];
    const list = async (): Promise<void> => {
      for (const file of source.files(request)) {
        paths.push(file.path);
        await call.send(
          encodeMessage([
            [1, packet.stat],
            [2, encodeStat(file)],
          ]),
        );
      }
      await call.send(encodeMessage([[1, packet.stat]]));
    };
    const listing = list();
    // Whoever reads requests reports this too, but not before there is one.
    listing.catch(() => undefined);
    for await (const bytes of call.requests) {
      const message = new Message(bytes);
      const type = message.number(1);
      if (type === packet.end) {
        await listing;
        await call.send(encodeMessage([[1, packet.end]]));
        return;
      }
      if (type === packet.error) throw new Error(`the daemon gave up reading files: ${new TextDecoder().decode(message.bytes(4))}`);
      if (type !== packet.request) continue;
      const id = message.number(3);
      await sendFile(id, paths[id] ?? '');
    }
    await listing;

    async function sendFile(id: number, path: string): Promise<void> {
      for (const chunk of source.chunks(request, path)) {
        await call.send(
          encodeMessage([
            [1, packet.data],
            [3, id],
            [4, chunk],
          ]),
        );
      }
      await call.send(
        encodeMessage([
          [1, packet.data],
          [3, id],
        ]),
      );
    }
  };

/** Go's numbers for what a file is. */
const typeBits: Readonly<Record<SyncFile['type'], number>> = {
  file: 0,
  directory: 2 ** 31,
  symlink: 2 ** 27,
  fifo: 2 ** 25,
  block: 2 ** 26,
  char: 2 ** 26 + 2 ** 21,
};

function encodeStat({ path, type, mode, sizeBytes, modifiedNanos, link, devMajor, devMinor, xattrs }: SyncFile): Uint8Array {
  const special = ((mode & 0o4000) === 0 ? 0 : 2 ** 23) + ((mode & 0o2000) === 0 ? 0 : 2 ** 22) + ((mode & 0o1000) === 0 ? 0 : 2 ** 20);
  return encodeMessage([
    [1, path],
    [2, typeBits[type] + special + (mode & 0o777)],
    [5, type === 'file' && link === '' ? sizeBytes : 0],
    [6, modifiedNanos],
    [7, link],
    [8, devMajor],
    [9, devMinor],
    ...[...xattrs].map(([name, value]): [number, Uint8Array] => [
      10,
      encodeMessage([
        [1, name],
        [2, value],
      ]),
    ]),
  ]);
}

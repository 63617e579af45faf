import {
  chmodSync,
  closeSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { GrpcError, type Call } from './grpc-server.ts';
import { packet } from './file-sync.ts';
import { encodeMessage, Message } from './protobuf.ts';

interface Entry {
  readonly path: string;
  readonly mode: number;
  readonly modifiedNanos: bigint;
  readonly link: string;
}

/**
 * Receives a directory from the daemon into one that may have files already: what comes replaces what has the same name, everything else stays. Files
 * belong to whoever runs this.
 *
 *   [daemon] --stat--> … --stat of nothing--> [us] --request id--> [daemon] --data id--> … --data of nothing--> [us] --end--> [daemon] --end-->
 */
export async function receiveDirectory(call: Call, destination: string): Promise<void> {
  mkdirSync(destination, { recursive: true });
  const receiver = new Receiver(destination);
  let [places, pending, isListed] = [0, 0, false];
  try {
    for await (const bytes of call.requests) {
      const message = new Message(bytes);
      const type = message.number(1);
      if (type === packet.stat) {
        const entry = message.has(2) ? readEntry(message.message(2)) : undefined;
        if (entry === undefined || entry.path === '') isListed = true;
        else {
          if (receiver.begin(entry, places)) {
            pending += 1;
            await send(call, packet.request, places);
          }
          places += 1;
        }
      } else if (type === packet.data) {
        const data = message.bytes(4);
        const id = message.number(3);
        if (data.length > 0) receiver.write(id, data);
        else {
          receiver.finish(id);
          pending -= 1;
        }
      } else if (type === packet.error) throw new GrpcError(2, `the daemon could not send its files: ${message.text(4)}`);
      else if (type === packet.end) {
        receiver.complete();
        return;
      }
      if (isListed && pending === 0) {
        isListed = false;
        await send(call, packet.end, 0);
      }
    }
    throw new GrpcError(2, 'the daemon ended before every file was here');
  } finally {
    receiver.close();
  }
}

const send = async (call: Call, type: number, id: number): Promise<void> =>
  await call.send(
    encodeMessage([
      [1, type],
      [3, id],
    ]),
  );

const readEntry = (stat: Message): Entry => ({
  path: stat.text(1),
  mode: stat.number(2),
  modifiedNanos: BigInt(Math.trunc(stat.number(6))),
  link: stat.text(7),
});

/** Go's bits of os.FileMode. */
const bits = {
  directory: 2 ** 31,
  symlink: 2 ** 27,
  device: 2 ** 26,
  pipe: 2 ** 25,
  socket: 2 ** 24,
  setuid: 2 ** 23,
  setgid: 2 ** 22,
  sticky: 2 ** 20,
};
const has = (value: number, bit: number): boolean => Math.floor(value / bit) % 2 === 1;

/** Nothing is made below what this has not made or found as a directory, so that no link leads astray. */
class Receiver {
  readonly #root: string;
  readonly #directories = new Map<string, Entry | undefined>([['', undefined]]);
  readonly #files = new Map<number, { readonly entry: Entry; readonly path: string; readonly fd: number }>();
  readonly #made = new Set<string>();
  readonly #links: [target: string, path: string][] = [];

  constructor(root: string) {
    this.#root = root;
  }

  /** Makes what is no content; whether there is content to be asked for. */
  begin(entry: Entry, id: number): boolean {
    const path = this.#place(entry.path);
    const existing = lstatSync(path, { throwIfNoEntry: false });
    if (has(entry.mode, bits.directory)) {
      if (existing !== undefined && !existing.isDirectory()) rmSync(path);
      if (existing?.isDirectory() !== true) mkdirSync(path, { mode: 0o700 });
      this.#directories.set(entry.path, entry);
      return false;
    }
    this.#made.add(entry.path);
    // Devices, pipes and sockets are made by nobody who only wants files.
    if ([bits.device, bits.pipe, bits.socket].some(bit => has(entry.mode, bit))) return false;
    if (existing !== undefined) rmSync(path, { recursive: true, force: true });
    if (has(entry.mode, bits.symlink)) {
      symlinkSync(entry.link, path);
      const time = secondsOf(entry);
      lutimesSync(path, time, time);
      return false;
    }
    if (entry.link !== '') {
      const target = entry.link.replace(/^\//, '');
      if (!this.#made.has(target)) throw new GrpcError(2, `${entry.path} is another name of ${entry.link}, which did not come before it`);
      this.#links.push([join(this.#root, target), path]);
      return false;
    }
    this.#files.set(id, { entry, path, fd: openSync(path, 'wx', 0o600) });
    return true;
  }

  write(id: number, data: Uint8Array): void {
    const { fd } = this.#require(id);
    for (let at = 0; at < data.length; ) at += writeSync(fd, data, at);
  }

  finish(id: number): void {
    const { entry, path, fd } = this.#require(id);
    closeSync(fd);
    this.#files.delete(id);
    dress(path, entry);
  }

  /** Directories get their modes and times when nothing is put into them any more. */
  complete(): void {
    for (const [target, path] of this.#links) linkSync(target, path);
    for (const [name, entry] of [...this.#directories].reverse()) if (entry !== undefined) dress(join(this.#root, name), entry);
  }

  close(): void {
    for (const { fd } of this.#files.values()) closeSync(fd);
    this.#files.clear();
  }

  #require(id: number) {
    const file = this.#files.get(id);
    if (file === undefined) throw new GrpcError(2, `the daemon sent content that was not asked for: file ${String(id)}`);
    return file;
  }

  #place(path: string): string {
    const names = path.split('/');
    const name = names.pop() ?? '';
    const isName = name !== '' && name !== '.' && name !== '..' && !name.includes('\0');
    if (!isName || !this.#directories.has(names.join('/')) || this.#made.has(path) || this.#directories.has(path))
      throw new GrpcError(2, `the daemon sent the path ${JSON.stringify(path)}: it is no new path in a directory that was sent before`);
    return join(this.#root, path);
  }
}

function dress(path: string, entry: Entry): void {
  const special =
    (has(entry.mode, bits.setuid) ? 0o4000 : 0) + (has(entry.mode, bits.setgid) ? 0o2000 : 0) + (has(entry.mode, bits.sticky) ? 0o1000 : 0);
  chmodSync(path, special + (entry.mode & 0o777));
  const time = secondsOf(entry);
  utimesSync(path, time, time);
}

const secondsOf = ({ modifiedNanos }: Entry): number => Number(modifiedNanos / 1000n) / 1e6;

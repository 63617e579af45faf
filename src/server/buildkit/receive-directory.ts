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
import { invalidArgument, unavailable } from '#base/errors.ts';
import { type Packet, packetType, type Stat } from '#api/buildkit/messages.ts';
import type { CallMetadata, ClientSession } from './client-session.ts';
import { codec } from './codec.ts';

/** Which files of a directory of the client are wanted. */
export interface WantedFiles {
  /** The name under which the client offers the directory. */
  readonly directory: string;
  /** Patterns of paths, with all that is below them; undefined: all. */
  readonly include?: readonly string[] | undefined;
  /** Paths and patterns whose symbolic links are followed; what they lead to comes as well. Undefined: all. */
  readonly follow?: readonly string[] | undefined;
  /** Patterns as in a .dockerignore file. */
  readonly exclude?: readonly string[] | undefined;
}

export interface ReceivedFiles {
  readonly bytes: number;
}

export type SetAttributes = (path: string, attributes: Stat['xattrs']) => void;

/** A directory with files of an earlier transfer in it. */
export interface FormerFiles {
  /** Everything that is there, by path, with what is known of it. Kept true while files come. */
  readonly known: Map<string, FormerFile>;
  /** Called before the first change. */
  onChange(): void;
}

/** All that tells a file from its earlier self, as a text. */
export type FormerFile = string;

const method = '/moby.filesync.v1.FileSync/DiffCopy';
/** Beyond this, metadata is refused on the way; a client then sends everything that is not excluded. */
const metadataLimitBytes = 24 * 1024;

const packets = codec<Packet>('fsutil.types.Packet', { longs: String });

/**
 * Receives a directory of the client. The client lists what there is, each directory before what is in it; the content of each file that is not here yet is
 * asked for by the file's place in the list. What is here and not in the list goes. Rejects with InvalidArgument for a list that would lead out of the
 * directory.
 *
 *   [client] --stat--> … --stat of nothing--> [us] --request id--> [client] --data id--> … --data of nothing--> [us] --end--> [client] --end-->
 */
export async function receiveDirectory(
  session: Pick<ClientSession, 'call'>,
  wanted: WantedFiles,
  destination: string,
  onBytes: (total: number) => void,
  signal: AbortSignal,
  { former, setAttributes }: { readonly former?: FormerFiles | undefined; readonly setAttributes?: SetAttributes } = {},
): Promise<ReceivedFiles> {
  const call = session.call(method, metadataOf(wanted), signal);
  const receiver = new Receiver(destination, former, setAttributes);
  let places = 0;
  let isListed = false;
  let pending = 0;
  let bytes = 0;
  try {
    for await (const message of call.messages) {
      const packet = packets.decode(message);
      switch (packet.type) {
        case packetType.stat: {
          if (packet.stat === null || packet.stat.path === '') isListed = true;
          else {
            if (receiver.begin(packet.stat, places)) {
              pending += 1;
              await call.send(packets.encode({ type: packetType.request, ID: places }));
            }
            places += 1;
          }
          break;
        }
        case packetType.data:
          if (packet.data.length === 0) {
            receiver.finish(packet.ID);
            pending -= 1;
          } else {
            receiver.write(packet.ID, packet.data);
            onBytes((bytes += packet.data.length));
          }
          break;
        case packetType.error:
          throw invalidArgument(`the client could not send its files: ${new TextDecoder().decode(packet.data)}`);
        case packetType.end:
          receiver.complete();
          return { bytes };
        default:
          continue;
      }
      if (isListed && pending === 0) {
        isListed = false;
        call.end(packets.encode({ type: packetType.end }));
      }
    }
    throw unavailable('the client ended the transfer of its files before everything was there');
  } finally {
    receiver.close();
  }
}

function metadataOf({ directory, include = [], follow = [], exclude = [] }: WantedFiles): CallMetadata {
  const lists = Object.entries({ 'include-patterns': include, 'exclude-patterns': exclude, followpaths: follow });
  const metadata: Record<string, string | readonly string[]> = { 'dir-name': directory };
  for (const [key, values] of lists) {
    const size = values.reduce((sum, value) => sum + value.length + key.length, 0);
    if (values.length === 0 || (size > metadataLimitBytes && key !== 'exclude-patterns')) continue;
    // Header values are visible ASCII; what is not is sent as in a URL's query.
    const isPlain = values.every(value => /^[\x21-\x7e]*$/.test(value) && !value.includes(','));
    metadata[key] = isPlain ? values : values.map(encodeQuery);
    if (!isPlain) metadata[`${key}-encoded`] = '1';
  }
  return metadata;
}

const encodeQuery = (value: string): string => encodeURIComponent(value).replace(/%20/g, '+');

/** Go's bits of os.FileMode. */
const mode = {
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

interface OpenFile {
  readonly stat: Stat;
  readonly path: string;
  fd: number;
}

/** What has to be the same for a file to count as the same. A directory's time changes with what is in it. */
function identityOf({ mode: bits, size, modTime, linkname, xattrs }: Stat): FormerFile {
  const attributes = Object.entries(xattrs)
    .map(([name, value]) => ` ${name}=${Buffer.from(value).toString('hex')}`)
    .sort()
    .join('');
  return (has(bits, mode.directory) ? `${String(bits)} ${modTime}` : `${String(bits)} ${String(size)} ${modTime} ${linkname}`) + attributes;
}

const unknown: FormerFile = '';

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));

/** Makes files of a list. Nothing is made below what this has not made a directory, so that no link leads astray. */
class Receiver {
  readonly #root: string;
  readonly #known: Map<string, FormerFile>;
  readonly #onChange: () => void;
  readonly #setAttributes: SetAttributes;
  readonly #directories = new Map<string, Stat | undefined>([['', undefined]]);
  /** Directories that have to be given their modes and times. */
  readonly #touched = new Set<string>();
  readonly #files = new Map<number, OpenFile>();
  readonly #seen = new Set<string>();
  /** Files that are other ones now. */
  readonly #replaced = new Set<string>();
  /** Other names of files, which are there when all contents are. */
  readonly #links: [target: string, stat: Stat][] = [];
  #hasChanged = false;

  constructor(root: string, former: FormerFiles | undefined, setAttributes: SetAttributes = () => undefined) {
    this.#root = root;
    this.#setAttributes = setAttributes;
    this.#known = former?.known ?? new Map<string, FormerFile>();
    this.#onChange = () => former?.onChange();
  }

  /** Makes what is no content; whether there is content to be asked for. */
  begin(stat: Stat, id: number): boolean {
    const path = this.#place(stat.path);
    const isSame = this.#known.get(stat.path) === identityOf(stat);
    if (has(stat.mode, mode.directory)) {
      this.#directories.set(stat.path, stat);
      if (isSame) return false;
      this.#change(stat.path);
      // What is in it may be what it was.
      if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) {
        rmSync(path, { force: true });
        mkdirSync(path, { mode: 0o700 });
      }
      this.#touched.add(stat.path);
      return false;
    }
    this.#seen.add(stat.path);
    const target = stat.linkname.replace(/^\//, '');
    const isLink = stat.linkname !== '' && !has(stat.mode, mode.symlink);
    if (isLink && !this.#seen.has(target))
      throw invalidArgument(`${stat.path} is another name of ${stat.linkname}, which did not come before it`);
    if (isSame && !(isLink && this.#replaced.has(target))) return false;
    this.#change(stat.path);
    this.#replaced.add(stat.path);
    rmSync(path, { recursive: true, force: true });
    if (has(stat.mode, mode.symlink)) {
      symlinkSync(stat.linkname, path);
      const time = secondsOf(stat);
      lutimesSync(path, time, time);
      this.#known.set(stat.path, identityOf(stat));
      return false;
    }
    // Sockets and devices are no files of a context.
    if (has(stat.mode, mode.socket) || has(stat.mode, mode.device) || has(stat.mode, mode.pipe)) return false;
    if (isLink) {
      this.#links.push([target, stat]);
      return false;
    }
    this.#files.set(id, { stat, path, fd: -1 });
    return true;
  }

  write(id: number, data: Uint8Array): void {
    const file = this.#require(id);
    if (file.fd === -1) file.fd = openSync(file.path, 'wx', 0o600);
    for (let at = 0; at < data.length; ) at += writeSync(file.fd, data, at);
  }

  finish(id: number): void {
    const file = this.#require(id);
    if (file.fd === -1) file.fd = openSync(file.path, 'wx', 0o600);
    closeSync(file.fd);
    this.#files.delete(id);
    this.#setAttributes(file.path, file.stat.xattrs);
    dress(file.path, file.stat);
    this.#known.set(file.stat.path, identityOf(file.stat));
  }

  /** Takes away what was not in the list; then directories get their modes and times, when nothing is put into them any more. */
  complete(): void {
    for (const path of [...this.#known.keys()]) {
      if (this.#seen.has(path) || this.#directories.has(path)) continue;
      // What was in a directory that is none any more went with it, and the path may lead elsewhere now.
      if (this.#directories.has(parentOf(path))) {
        this.#change(path);
        rmSync(join(this.#root, path), { recursive: true, force: true });
      }
      this.#known.delete(path);
    }
    for (const [target, stat] of this.#links) {
      linkSync(join(this.#root, target), join(this.#root, stat.path));
      this.#known.set(stat.path, identityOf(stat));
    }
    for (const [name, stat] of [...this.#directories].reverse()) {
      if (stat === undefined || !this.#touched.has(name)) continue;
      this.#setAttributes(join(this.#root, name), stat.xattrs);
      dress(join(this.#root, name), stat);
      this.#known.set(name, identityOf(stat));
    }
  }

  close(): void {
    for (const { fd } of this.#files.values()) if (fd !== -1) closeSync(fd);
    this.#files.clear();
  }

  /** From now on nothing is known of a path but that something may be there, and its directory gets another time. */
  #change(path: string): void {
    if (!this.#hasChanged) this.#onChange();
    this.#hasChanged = true;
    this.#known.set(path, unknown);
    const parent = parentOf(path);
    if (parent === '') return;
    this.#touched.add(parent);
    this.#known.set(parent, unknown);
  }

  #require(id: number): OpenFile {
    const file = this.#files.get(id);
    if (file === undefined) throw invalidArgument(`the client sent content that was not asked for: file ${String(id)}`);
    return file;
  }

  #place(path: string): string {
    const names = path.split('/');
    const name = names.pop() ?? '';
    const parent = names.join('/');
    const isName = name !== '' && name !== '.' && name !== '..' && !name.includes('\0');
    if (!isName || !this.#directories.has(parent) || this.#seen.has(path) || this.#directories.has(path))
      throw invalidArgument(`the client sent the path ${JSON.stringify(path)}: it is no new path in a directory that was sent before`);
    return join(this.#root, path);
  }
}

function dress(path: string, stat: Stat): void {
  const special =
    (has(stat.mode, mode.setuid) ? 0o4000 : 0) + (has(stat.mode, mode.setgid) ? 0o2000 : 0) + (has(stat.mode, mode.sticky) ? 0o1000 : 0);
  chmodSync(path, special + (stat.mode & 0o777));
  const time = secondsOf(stat);
  utimesSync(path, time, time);
}

const secondsOf = ({ modTime }: Stat): number => Number(BigInt(modTime) / 1000n) / 1e6;

import { lstatSync, readdirSync, readlinkSync, type BigIntStats } from 'node:fs';
import { join } from 'node:path';
import { failedPrecondition } from '#base/errors.ts';
import { segmentRegExp } from '#base/path-pattern.ts';
import type { Stat } from '#api/buildkit/messages.ts';
import type { BuildService } from '#builder/service.ts';

type Places = Pick<BuildService, 'place'>;

/** The largest file that is answered in one message. */
const largestBytes = 16 * 1024 * 1024 - 4096;

/** A part of a file of a result. Rejects with NotFound, FailedPrecondition for one that is too large. */
export async function readFile(
  builds: Places,
  root: string,
  { FilePath, Range }: { readonly FilePath: string; readonly Range: { readonly Offset: number; readonly Length: number } | null },
): Promise<Uint8Array> {
  const file = Bun.file(builds.place(root, FilePath));
  const part = Range === null ? file : file.slice(Range.Offset, Range.Length > 0 ? Range.Offset + Range.Length : undefined);
  if (part.size > largestBytes)
    throw failedPrecondition(`${FilePath} has ${String(part.size)} bytes: at most ${String(largestBytes)} can be read at once`);
  return await part.bytes();
}

export function statFile(builds: Places, root: string, path: string): Stat {
  return statOf(builds.place(root, path), path.replace(/^\//, ''));
}

export function readDirectory(
  builds: Places,
  root: string,
  { DirPath, IncludePattern }: { readonly DirPath: string; readonly IncludePattern: string },
): Stat[] {
  const directory = builds.place(root, DirPath);
  const pattern = IncludePattern === '' ? undefined : segmentRegExp(IncludePattern);
  const names = readdirSync(directory).filter(name => pattern === undefined || pattern.test(name));
  return names.sort().map(name => statOf(join(directory, name), name));
}

/** What a file on this machine is, in Go's terms. */
export function statOf(place: string, path: string): Stat {
  const found = lstatSync(place, { bigint: true });
  const isLink = found.isSymbolicLink();
  const device = found.isCharacterDevice() || found.isBlockDevice();
  return {
    path,
    mode: goMode(found),
    uid: Number(found.uid),
    gid: Number(found.gid),
    size: found.isFile() ? Number(found.size) : 0,
    modTime: String(found.mtimeNs),
    linkname: isLink ? readlinkSync(place) : '',
    devmajor: device ? Number((found.rdev >> 8n) & 0xfffn) : 0,
    devminor: device ? Number((found.rdev & 0xffn) | ((found.rdev >> 12n) & 0xfff00n)) : 0,
    xattrs: {},
  };
}

/** Go's bits of os.FileMode. */
function goMode(found: BigIntStats): number {
  const bits = Number(found.mode & 0o7777n);
  const special = ((bits & 0o4000) === 0 ? 0 : 2 ** 23) + ((bits & 0o2000) === 0 ? 0 : 2 ** 22) + ((bits & 0o1000) === 0 ? 0 : 2 ** 20);
  const type = found.isDirectory()
    ? 2 ** 31
    : found.isSymbolicLink()
      ? 2 ** 27
      : found.isFIFO()
        ? 2 ** 25
        : found.isSocket()
          ? 2 ** 24
          : found.isBlockDevice()
            ? 2 ** 26
            : found.isCharacterDevice()
              ? 2 ** 26 + 2 ** 21
              : 0;
  return type + special + (bits & 0o777);
}

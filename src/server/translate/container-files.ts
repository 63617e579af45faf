import type { FilesystemChange } from '#api/types/container.ts';
import type { FileChange, FileType, PathStat } from '#core/files.ts';

/** File types and mode bits as Go numbers them (package io/fs, FileMode). */
const typeBits: Readonly<Record<FileType, number>> = {
  file: 0,
  directory: 2 ** 31,
  symlink: 2 ** 27,
  block: 2 ** 26,
  fifo: 2 ** 25,
  socket: 2 ** 24,
  char: 2 ** 26 + 2 ** 21,
};
const modeBits = [
  [0o4000, 2 ** 23],
  [0o2000, 2 ** 22],
  [0o1000, 2 ** 20],
] as const;

export const toGoMode = (type: FileType, mode: number): number =>
  typeBits[type] + (mode & 0o777) + modeBits.reduce((sum, [posix, go]) => sum + ((mode & posix) === 0 ? 0 : go), 0);

/** The value of the header X-Docker-Container-Path-Stat: JSON in standard base64. */
export function toWirePathStat(stat: PathStat): string {
  const wire = {
    name: stat.name,
    size: stat.sizeBytes,
    mode: toGoMode(stat.type, stat.mode),
    mtime: formatTime(stat.mtime),
    linkTarget: stat.linkTarget,
  };
  return Buffer.from(JSON.stringify(wire)).toString('base64');
}

function formatTime({ seconds, nanoseconds }: PathStat['mtime']): string {
  const whole = new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, '');
  const fraction = String(nanoseconds).padStart(9, '0').replace(/0+$/, '');
  return `${whole}${fraction === '' ? '' : `.${fraction}`}Z`;
}

const kinds = { modified: 0, added: 1, deleted: 2 } as const;

export const toWireChange = ({ path, kind }: FileChange): FilesystemChange => ({ Path: path, Kind: kinds[kind] });

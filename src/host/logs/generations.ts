import { existsSync, linkSync, renameSync, rmSync, statSync, watch } from 'node:fs';
import { isErrno } from '#base/errors.ts';

// A monitor that reaches the size limit renames an empty file over its log: the old one would be gone but for a second name.
//
//   log ──┐ same file            log (new)              log ──┐
//   keep ─┘          monitor →   keep (full)   we →    keep ─┘ , log.1 (full)
const keptName = (path: string): string => `${path}.kept`;
const generation = (path: string, number: number): string => `${path}.${String(number)}`;

/** Files of a log, the oldest first, the one being written last. */
export function generationsOf(path: string): string[] {
  const older: string[] = [];
  for (let number = 1; existsSync(generation(path, number)); number += 1) older.unshift(generation(path, number));
  const kept = inodeOf(keptName(path));
  // Not yet moved on, or nobody was there to do it.
  if (kept !== undefined && kept !== inodeOf(path)) older.push(keptName(path));
  return [...older, path];
}

/** Where a reader that came to the end of a file goes on; undefined when that file is the one being written. */
export function nextGeneration(path: string, inode: number): string | undefined {
  const files = generationsOf(path);
  const at = files.findIndex(file => inodeOf(file) === inode);
  return at === files.length - 1 ? undefined : files[at + 1];
}

/** Moves generations on whenever the monitor begins a new one, until disposed. */
export function keepGenerations(path: string, files: number): Disposable {
  moveOn(path, files);
  const watcher = watch(path.slice(0, path.lastIndexOf('/')), () => moveOn(path, files));
  return { [Symbol.dispose]: () => watcher.close() };
}

export function removeGenerations(path: string): void {
  for (const file of [...generationsOf(path), keptName(path)]) rmSync(file, { force: true });
}

function moveOn(path: string, files: number): void {
  const current = inodeOf(path);
  if (current === undefined) return;
  const kept = inodeOf(keptName(path));
  if (kept === current) return;
  if (kept !== undefined) {
    if (files < 2) rmSync(keptName(path), { force: true });
    else shift(path, files);
  }
  try {
    linkSync(path, keptName(path));
  } catch (err) {
    // Renamed over again in this very moment: the next notice is on its way.
    if (!isErrno(err, 'ENOENT', 'EEXIST')) throw err;
  }
}

function shift(path: string, files: number): void {
  for (let number = files - 2; number >= 1; number -= 1) {
    if (existsSync(generation(path, number))) renameSync(generation(path, number), generation(path, number + 1));
  }
  renameSync(keptName(path), generation(path, 1));
}

export function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

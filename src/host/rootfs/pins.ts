import { fstatSync, lstatSync, mkdirSync, readdirSync, rmdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { notFound } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { bindMount, unmount } from '#host/sys/mount.ts';
import { openRoot, ownedFd, pathOnly } from '#host/sys/rooted.ts';
import { openIfThere } from './root-files.ts';

/** Second places below a directory for files of roots; implements what containers need of them (`Pins`). */
export function openPins(pinDir: string) {
  clear(pinDir);
  return { pin: (root: string, path: string, options: PinOptions = {}) => pin(pinDir, root, path, options) };
}

/** Those of an earlier process go. What is mounted there is somebody's data: nothing is removed but empty names. */
function clear(pinDir: string): void {
  mkdirSync(pinDir, { recursive: true, mode: 0o711 });
  for (const name of readdirSync(pinDir)) removePin(join(pinDir, name));
}

let pins = 0;

export interface PinOptions {
  /** Without what is mounted below it. Default: with it. */
  readonly alone?: boolean;
}

function pin(pinDir: string, root: string, path: string, options: PinOptions): Disposable & { readonly path: string } {
  using rootFd = ownedFd(openRoot(root));
  const opened = openIfThere(rootFd.fd, path, pathOnly);
  if (opened === undefined) throw notFound(`${path}: no such file or directory`);
  using file = ownedFd(opened);
  pins += 1;
  const place = join(pinDir, String(pins));
  if (fstatSync(file.fd).isDirectory()) mkdirSync(place, { mode: 0o700 });
  else writeFileSync(place, '', { flag: 'wx', mode: 0o600 });
  try {
    bindMount(`/proc/self/fd/${String(file.fd)}`, place, { recursive: options.alone !== true });
  } catch (err) {
    removePin(place);
    throw err;
  }
  failpoint('rootfs.pinned');
  return { path: place, [Symbol.dispose]: () => removePin(place) };
}

function removePin(place: string): void {
  while (unmount(place, { detach: true }));
  if (lstatSync(place).isDirectory()) rmdirSync(place);
  else unlinkSync(place);
}

import { lstatSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const directories = ['dev', 'dev/pts', 'dev/shm', 'etc', 'proc', 'sys'];
const files = ['.dockerenv', 'dev/console', 'etc/hostname', 'etc/hosts', 'etc/resolv.conf'];
const links = new Map([['etc/mtab', '/proc/mounts']]);

/**
 * Makes the directory that lies below the layers of every container's image. It has what a container needs besides: where something is mounted, and
 * what tells programs that they run in a container (Docker makes a layer with these for each container). What an image has itself hides what is here. Called
 * again it makes what is missing; what is there stays as it is, because containers may be mounted on it.
 */
export function makeFrame(directory: string): void {
  makeDirectory(directory);
  for (const path of directories) makeDirectory(join(directory, path));
  for (const path of files) if (!exists(join(directory, path))) writeFileSync(join(directory, path), '', { mode: 0o755, flag: 'wx' });
  for (const [path, target] of links) if (!exists(join(directory, path))) symlinkSync(target, join(directory, path));
}

function makeDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o755 });
}

const exists = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

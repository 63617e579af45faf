import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

/**
 * By this a daemon knows a directory again, so that it asks only for what has changed. Two machines may have another directory at the same path: each has an
 * identifier of its own, in the file where the stock command line has one too. Empty, which means that nothing is to be kept, for a context that is not a
 * directory of this machine or is gone after the build.
 */
export function sharedKeyOf(
  configDirectory: string,
  { root, isFetched }: { readonly root: string | undefined; readonly isFetched: boolean },
): string {
  if (root === undefined || isFetched) return '';
  return createHash('sha256')
    .update(`${machineIdentifier(join(configDirectory, 'buildx'))}:${root}`)
    .digest('hex');
}

function machineIdentifier(directory: string): string {
  const path = join(directory, '.buildNodeID');
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    // The first build here.
  }
  const id = randomBytes(32).toString('hex');
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileSync(path, id, { mode: 0o600, flag: 'wx' });
    return id;
  } catch {
    // A directory that nobody may write to: at least machines are told apart.
    return hostname();
  }
}

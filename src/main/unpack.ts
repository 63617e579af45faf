import { writeSync } from 'node:fs';
import type { LayerCompression } from '#core/snapshots.ts';
import { unpackChild } from '#host/snapshots/unpack/child.ts';

/** `internal-unpack <directory> <compression> <parent pid> [unhashed]`: see unpackChild. */
export async function main(argv: readonly string[]): Promise<void> {
  const [directory, compression, parentPid, hashing] = argv;
  if (directory === undefined || compression === undefined || parentPid === undefined) {
    throw new Error('usage: internal-unpack <directory> <compression> <parent pid> [unhashed]');
  }
  const result = await unpackChild({
    directory,
    compression: compression as LayerCompression,
    parentPid: Number(parentPid),
    isHashed: hashing !== 'unhashed',
  });
  writeSync(1, `${JSON.stringify(result)}\n`);
  process.exit(result.ok ? 0 : 1);
}

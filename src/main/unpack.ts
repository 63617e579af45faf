import { writeSync } from 'node:fs';
import type { LayerCompression } from '#core/snapshots.ts';
import { unpackChild } from '#host/snapshots/unpack/child.ts';

/** `internal-unpack <directory> <compression> <parent pid>`: see unpackChild. */
export async function main(argv: readonly string[]): Promise<void> {
  const [directory, compression, parentPid] = argv;
  if (directory === undefined || compression === undefined)
    throw new Error('usage: internal-unpack <directory> <compression> <parent pid>');
  const result = await unpackChild(directory, compression as LayerCompression, Number(parentPid));
  writeSync(1, `${JSON.stringify(result)}\n`);
  process.exit(result.ok ? 0 : 1);
}

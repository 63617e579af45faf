import { writeSync } from 'node:fs';
import type { LayerCompression } from '#core/snapshots.ts';
import { unpackChild } from '#host/snapshots/unpack/child.ts';

/** `internal-unpack <directory> <compression> <parent pid> [unhashed] [growing]`: see unpackChild. */
export async function main(argv: readonly string[]): Promise<void> {
  const [directory, compression, parentPid, ...flags] = argv;
  if (directory === undefined || compression === undefined || parentPid === undefined) {
    throw new Error('usage: internal-unpack <directory> <compression> <parent pid> [unhashed] [growing]');
  }
  const result = await unpackChild({
    directory,
    compression: compression as LayerCompression | 'detect',
    parentPid: Number(parentPid),
    isHashed: !flags.includes('unhashed'),
    isGrowing: flags.includes('growing'),
  });
  writeSync(1, `${JSON.stringify(result)}\n`);
  process.exit(result.ok ? 0 : 1);
}

import { writeSync } from 'node:fs';
import type { LayerCompression } from '#core/snapshots.ts';
import { unpackChild } from '#host/snapshots/unpack/child.ts';

/** `internal-unpack <directory> <compression> <parent pid> [unhashed] [growing] [plain] [max=<bytes>] [recipe=<path>] [owner=<uid>:<gid>]`: see unpackChild. */
export async function main(argv: readonly string[]): Promise<void> {
  const [directory, compression, parentPid, ...flags] = argv;
  if (directory === undefined || compression === undefined || parentPid === undefined) {
    throw new Error(
      'usage: internal-unpack <directory> <compression> <parent pid> [unhashed] [growing] [plain] [max=<bytes>] [recipe=<path>] [owner=<uid>:<gid>]',
    );
  }
  const result = await unpackChild({
    directory,
    compression: compression as LayerCompression | 'detect',
    parentPid: Number(parentPid),
    isHashed: !flags.includes('unhashed'),
    isGrowing: flags.includes('growing'),
    maxBytes: Number(/^max=(\d+)$/.exec(flags.find(flag => flag.startsWith('max=')) ?? '')?.[1] ?? Infinity),
    recipePath: flags.find(flag => flag.startsWith('recipe='))?.slice('recipe='.length),
    extract: { isPlain: flags.includes('plain'), owner: ownerIn(flags) },
  });
  writeSync(1, `${JSON.stringify(result)}\n`);
  process.exit(result.ok ? 0 : 1);
}

function ownerIn(flags: readonly string[]): { readonly uid: number; readonly gid: number } | undefined {
  const [, uid, gid] = /^owner=(\d+):(\d+)$/.exec(flags.find(flag => flag.startsWith('owner=')) ?? '') ?? [];
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) };
}

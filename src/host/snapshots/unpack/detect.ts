import type { LayerCompression } from '#core/snapshots.ts';

const magics: readonly (readonly [LayerCompression, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b, 0x08]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
];

/** By the first bytes; six are enough. */
export function detectCompression(head: Uint8Array): LayerCompression {
  return magics.find(([, magic]) => magic.every((byte, i) => head[i] === byte))?.[0] ?? 'none';
}

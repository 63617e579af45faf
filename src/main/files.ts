import { filesChild } from '#host/files/child.ts';

/** `internal-files <parent pid>`: see filesChild. */
export function main(argv: readonly string[]): void {
  const [parentPid] = argv;
  if (parentPid === undefined) throw new Error('usage: internal-files <parent pid>');
  filesChild(Number(parentPid));
}

import { fileJobs } from '#host/build-files/child.ts';

/** `internal-file-work <parent pid>`: see fileJobs. */
export async function main(argv: readonly string[]): Promise<void> {
  const [parentPid] = argv;
  if (parentPid === undefined) throw new Error('usage: internal-file-work <parent pid>');
  await fileJobs(Number(parentPid));
  process.exit(0);
}

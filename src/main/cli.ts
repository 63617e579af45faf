import type { FileAttributes } from '#cli/cli.ts';
import { runCli } from '#cli/main.ts';
import { productVersion } from './version.ts';

async function fileAttributes(): Promise<FileAttributes> {
  const { getXattr, setXattr } = await import('#host/sys/fs.ts');
  return { get: getXattr, set: setXattr };
}

/** The command line. Ends the process: an open connection to the daemon must not keep a finished command waiting. */
export async function main(argv: readonly string[], name: 'docker' | 'berth'): Promise<void> {
  process.exit(await runCli(argv, { name, version: productVersion, fileAttributes }));
}

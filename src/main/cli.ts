import type { FileAttributes } from '#cli/cli.ts';
import { runCli } from '#cli/main.ts';
import { productVersion } from './version.ts';

async function fileAttributes(): Promise<FileAttributes> {
  const { getXattr, setXattr } = await import('#host/sys/fs.ts');
  return { get: getXattr, set: setXattr };
}

/** Roles of the executable that people start; whoever calls it `docker` looks for commands. */
const services = [
  ['daemon', 'Serve the Engine API to this and any other client'],
  ['registry', 'Serve images to any client of the OCI distribution API'],
] as const;

/** The command line. Ends the process: an open connection to the daemon must not keep a finished command waiting. */
export async function main(argv: readonly string[], name: 'docker' | 'berth'): Promise<void> {
  process.exit(await runCli(argv, { name, version: productVersion, services: name === 'berth' ? services : [], fileAttributes }));
}

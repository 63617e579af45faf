import { runCli } from '#cli/main.ts';
import { productVersion } from './version.ts';

/** The command line. Ends the process: an open connection to the daemon must not keep a finished command waiting. */
export async function main(argv: readonly string[], name: 'docker' | 'berth'): Promise<void> {
  process.exit(await runCli(argv, { name, version: productVersion }));
}

import type { Cli } from '../../cli.ts';
import { ExitError } from '../../errors.ts';

/** Refuses what a daemon serves only when it serves experimental features. `what` is a command or a flag. */
export async function requireExperimental(cli: Cli, what: string): Promise<void> {
  const client = await cli.client();
  const { experimental } = await client.connection.ping();
  if (!experimental) throw new ExitError(1, `${what} is only supported on a Docker daemon with experimental features enabled`);
}

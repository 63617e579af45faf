import type { Client } from '#client/client.ts';
import type { Cli } from '../../cli.ts';
import { registryAuthFor } from '../../config/registry-auth.ts';
import type { ImageName } from '../../container-options/image-name.ts';
import { showProgress } from '../../output/progress.ts';
import type { Output } from '../../output/terminal.ts';

export interface PullOptions {
  readonly platform: string;
  readonly quiet: boolean;
  /** Where progress is shown. */
  readonly to: Output;
}

/** Has the daemon fetch an image and shows how it goes. Rejects with what the daemon says went wrong. */
export async function pullImage(cli: Cli, client: Client, name: ImageName, { platform, quiet, to }: PullOptions): Promise<void> {
  const registryAuth = await registryAuthFor(cli, name.repository);
  const messages = await client.images.pull(name.repository, name.tag, { platform, registryAuth });
  await showProgress(messages, quiet ? undefined : to);
}

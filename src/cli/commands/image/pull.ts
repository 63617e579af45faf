import { defineCommand, exactArgs } from '../../command.ts';
import { registryAuthFor } from '../../config/registry-auth.ts';
import { parseImageName } from '../../container-options/image-name.ts';
import { ExitError } from '../../errors.ts';
import { bool, text } from '../../flags/flag.ts';
import { showProgress } from '../../output/progress.ts';
import { pullImage } from './pull-image.ts';

export const command = defineCommand({
  usage: '[OPTIONS] NAME[:TAG|@DIGEST]',
  names: ['image pull', 'pull'],
  short: 'Fetch an image from a registry',
  args: exactArgs(1),
  flags: {
    'all-tags': bool('Fetch every tag of the repository', { short: 'a' }),
    'disable-content-trust': bool('Skip the check of signatures', { default: true, hidden: true }),
    platform: text('Platform to fetch, of an image for several', { requires: { since: '1.32' } }),
    quiet: bool('Print the name only', { short: 'q' }),
  },
  async run(cli, { flags, args }) {
    const given = args[0] ?? '';
    const name = parseImageName(given);
    if (name === undefined) throw new ExitError(1, 'invalid reference format: a hexadecimal id is not a name to pull');
    const tagged = given.includes('@') || given.lastIndexOf(':') > given.lastIndexOf('/');
    if (flags['all-tags'] && tagged) throw new ExitError(1, "tag can't be used with --all-tags/-a");
    const platform = flags.platform === '' ? (process.env.DOCKER_DEFAULT_PLATFORM ?? '') : flags.platform;
    const client = await cli.client();
    if (flags['all-tags']) {
      const registryAuth = await registryAuthFor(cli, name.repository);
      await showProgress(await client.images.pull(name.repository, '', { platform, registryAuth }), flags.quiet ? undefined : cli.out);
    } else {
      if (!tagged && !flags.quiet) cli.out.line('Using default tag: latest');
      await pullImage(cli, client, name, { platform, quiet: flags.quiet, to: cli.out });
    }
    cli.out.line(canonicalName(name.familiar, flags['all-tags']));
  },
});

/** The name in full, with the registry. */
function canonicalName(familiar: string, withoutTag: boolean): string {
  const name = withoutTag ? familiar.slice(0, familiar.lastIndexOf(':')) : familiar;
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  if (/[.:]/.test(first) || first === 'localhost') return name;
  return `docker.io/${slash < 0 ? 'library/' : ''}${name}`;
}

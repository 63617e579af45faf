import type { Platform } from '#api/types/common.ts';
import { defineCommand, exactArgs } from '../../command.ts';
import { registryAuthFor } from '../../config/registry-auth.ts';
import { parseImageName } from '../../container-options/image-name.ts';
import { parsePlatform } from '../../container-options/platform.ts';
import { ExitError } from '../../errors.ts';
import { bool, text } from '../../flags/flag.ts';
import { printNote } from '../../output/note.ts';
import { showProgress } from '../../output/progress.ts';

export const command = defineCommand({
  usage: '[OPTIONS] NAME[:TAG]',
  names: ['image push', 'push'],
  short: 'Send an image to a registry',
  args: exactArgs(1),
  flags: {
    'all-tags': bool('Send every tag of the repository', { short: 'a' }),
    'disable-content-trust': bool('Skip signing', { default: true, hidden: true }),
    platform: text('Send only this platform of an image for several', { requires: { since: '1.46' } }),
    quiet: bool('Print the name only', { short: 'q' }),
  },
  async run(cli, { flags, args }) {
    const given = args[0] ?? '';
    const name = parseImageName(given);
    if (name === undefined) throw new ExitError(1, 'invalid reference format: push takes a name with a tag, not an id');
    if (given.includes('@')) throw new ExitError(1, 'cannot push a digest reference');
    const tagged = given.lastIndexOf(':') > given.lastIndexOf('/');
    if (flags['all-tags'] && tagged) throw new ExitError(1, "tag can't be used with --all-tags/-a");
    if (!tagged && !flags['all-tags'] && !flags.quiet) cli.out.line('Using default tag: latest');
    const platform: Platform | undefined = flags.platform === '' ? undefined : parsePlatform(flags.platform);
    if (platform !== undefined) printNote(cli.out, platformNote);
    const { images } = await cli.client();
    const messages = await images.push(name.repository, {
      tag: flags['all-tags'] ? undefined : name.tag,
      platform,
      registryAuth: await registryAuthFor(cli, name.repository),
    });
    const notes: string[] = [];
    await showProgress(messages, flags.quiet ? undefined : cli.out, aux => {
      const note = partialPush(aux);
      if (note !== undefined) notes.push(note);
    });
    for (const note of notes) printNote(cli.out, note);
    if (flags.quiet) cli.out.line(fullName(name.repository, flags['all-tags'] ? '' : name.tag));
  },
});

const platformNote = `Using --platform pushes only the specified platform manifest of a multi-platform image index.
Other components, like attestations, will not be included.
To push the complete multi-platform image, remove the --platform flag.
`;

/** What the daemon says when an index could not be pushed as a whole. */
function partialPush(aux: unknown): string | undefined {
  const { manifestPushedInsteadOfIndex, originalIndex, selectedManifest } = aux as {
    readonly manifestPushedInsteadOfIndex?: boolean;
    readonly originalIndex?: { readonly digest: string };
    readonly selectedManifest?: { readonly digest: string };
  };
  if (manifestPushedInsteadOfIndex !== true) return undefined;
  return `Not all multiplatform-content is present and only the available single-platform image was pushed\n${originalIndex?.digest ?? ''} -> ${selectedManifest?.digest ?? ''}`;
}

function fullName(repository: string, tag: string): string {
  const first = repository.slice(0, Math.max(0, repository.indexOf('/')));
  const host = /[.:]/.test(first) || first === 'localhost' ? '' : `docker.io/${repository.includes('/') ? '' : 'library/'}`;
  return `${host}${repository}${tag === '' ? '' : `:${tag}`}`;
}

import { canonicalString } from '#oci/reference.ts';
import { defineCommand, minArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { bool } from '../../flags/flag.ts';
import { parseName, RemoteImages } from '../../remote/remote-images.ts';
import { imageOfList } from './fetch-image.ts';
import { LocalLists } from './local-lists.ts';

export const command = defineCommand({
  usage: 'MANIFEST_LIST MANIFEST [MANIFEST...]',
  names: ['manifest create'],
  short: 'Put together a list of images for several platforms, to annotate and push',
  args: minArgs(2),
  flags: {
    amend: bool('Add to a list that is there', { short: 'a' }),
    insecure: bool('Talk to registries without checking certificates, or without TLS'),
  },
  async run(cli, { flags, args }) {
    const [list, ...images] = args.map(parseName);
    if (list === undefined) return;
    const lists = await LocalLists.open(cli);
    if (lists.has(list) && !flags.amend) throw new ExitError(1, 'refusing to amend an existing manifest list with no --amend flag');
    const remote = new RemoteImages(cli, flags.insecure);
    // All of them first: half a list must not be left behind.
    const found = [];
    for (const image of images) found.push({ image, value: await imageOfList(lists, remote, list, image) });
    for (const { image, value } of found) lists.save(list, image, value);
    cli.out.line(`Created manifest list ${canonicalString(list)}`);
  },
});

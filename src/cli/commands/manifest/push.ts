import { sha256 } from '#oci/digest.ts';
import { canonicalString, parseReference, repositoryOf, withDigest } from '#oci/reference.ts';
import { defineCommand, exactArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { bool } from '../../flags/flag.ts';
import { parseName, RemoteImages } from '../../remote/remote-images.ts';
import { listBytes, LocalLists } from './local-lists.ts';

export const command = defineCommand({
  usage: '[OPTIONS] MANIFEST_LIST',
  names: ['manifest push'],
  short: 'Send a list to its registry',
  args: exactArgs(1),
  flags: {
    insecure: bool('Talk to registries without checking certificates, or without TLS'),
    purge: bool('Forget the list once it was sent', { short: 'p' }),
  },
  async run(cli, { flags, args }) {
    const list = parseName(args[0] ?? '');
    const lists = await LocalLists.open(cli);
    const images = lists.images(list);
    const { bytes, mediaType } = listBytes(images);
    for (const { Ref } of images) {
      const { domain } = parseReference(Ref);
      if (domain !== list.domain) {
        throw new ExitError(1, `cannot use source images from a different registry than the target image: ${domain} != ${list.domain}`);
      }
    }
    const remote = new RemoteImages(cli, flags.insecure);
    for (const { Ref, Raw, Descriptor } of images) {
      const source = parseReference(Ref);
      if (repositoryOf(source) === repositoryOf(list)) continue;
      await remote.copy(source, { bytes: Buffer.from(Raw, 'base64'), ...Descriptor }, list);
      cli.out.line(`Pushed ref ${canonicalString(withDigest(list, Descriptor.digest))} with digest: ${Descriptor.digest}`);
    }
    await (await remote.repository(list, 'push')).putManifest(list.tag ?? 'latest', mediaType, bytes, remote.signal);
    cli.out.line(sha256(bytes));
    if (flags.purge) lists.remove(list);
  },
});

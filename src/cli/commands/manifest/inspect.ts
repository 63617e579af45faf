import { parseManifest } from '#oci/manifest.ts';
import { canonicalString, withDigest } from '#oci/reference.ts';
import type { Cli } from '../../cli.ts';
import { defineCommand, rangeArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { bool } from '../../flags/flag.ts';
import { parseName, RemoteImages } from '../../remote/remote-images.ts';
import { fetchContent } from './fetch-image.ts';
import { listBytes, listedImage, type ListedImage, type ListedPlatform, LocalLists } from './local-lists.ts';

export const command = defineCommand({
  usage: '[OPTIONS] [MANIFEST_LIST] MANIFEST',
  names: ['manifest inspect'],
  short: 'Show a manifest or a list, from a registry or one that is being put together',
  args: rangeArgs(1, 2),
  flags: {
    insecure: bool('Talk to registries without checking certificates, or without TLS'),
    verbose: bool('Show the image that each manifest is of as well', { short: 'v' }),
  },
  async run(cli, { flags, args }) {
    const [first, second] = args.map(parseName);
    if (first === undefined) return;
    const lists = await LocalLists.open(cli);
    if (second !== undefined) {
      const image = lists.has(first) ? lists.image(first, second) : undefined;
      if (image === undefined) throw new ExitError(1, `No such manifest: ${canonicalString(second)}`);
      return printImage(cli, image, flags.verbose);
    }
    if (lists.has(first)) return printList(cli, lists.images(first), flags.verbose);
    const remote = new RemoteImages(cli, flags.insecure);
    const content = await fetchContent(remote, first);
    const parsed = parseManifest(content.bytes, content.mediaType);
    if (parsed.kind === 'manifest')
      return printImage(cli, listedImage(first, content, await remote.platform(first, parsed)), flags.verbose);
    if (!flags.verbose) return cli.out.line(new TextDecoder().decode(content.bytes).trimEnd());
    const images: ListedImage[] = [];
    for (const [index, { digest }] of parsed.manifests.entries()) {
      // The entry's own words: parsed, a platform has lost what images are not chosen by.
      const platform = rawEntries(content.bytes)[index]?.platform;
      const listed = listedImage(first, await fetchContent(remote, withDigest(first, digest)), platform);
      images.push({ ...listed, Ref: `${canonicalString(first)}@${digest}` });
    }
    printList(cli, images, true);
  },
});

function printImage(cli: Cli, image: ListedImage, verbose: boolean): void {
  const value: unknown = verbose ? image : JSON.parse(Buffer.from(image.Raw, 'base64').toString());
  cli.out.line(JSON.stringify(value, undefined, '\t'));
}

function printList(cli: Cli, images: readonly ListedImage[], verbose: boolean): void {
  if (verbose) cli.out.line(JSON.stringify(images, undefined, '\t'));
  else cli.out.line(new TextDecoder().decode(listBytes(images).bytes));
}

const rawEntries = (bytes: Uint8Array): readonly { readonly platform?: ListedPlatform }[] =>
  (JSON.parse(new TextDecoder().decode(bytes)) as { readonly manifests: readonly { readonly platform?: ListedPlatform }[] }).manifests;

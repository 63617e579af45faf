import { type Descriptor, type ImageIndex, isImageEntry, parseManifest } from '#oci/manifest.ts';
import { formatPlatform } from '#oci/platform.ts';
import { canonicalString, type Reference, withDigest } from '#oci/reference.ts';
import { defineCommand, exactArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { bool, text } from '../../flags/flag.ts';
import { alignColumns } from '../../output/tab-writer.ts';
import { printTemplate } from '../../output/template-output.ts';
import { withGoNames } from '../../remote/go-names.ts';
import type { RemoteContent } from '../../remote/registry-port.ts';
import { parseName, RemoteImages } from '../../remote/remote-images.ts';
import { attestationsOf } from './attestations.ts';

export const command = defineCommand({
  usage: '[OPTIONS] NAME',
  names: ['buildx imagetools inspect'],
  short: 'Show what a registry has under a name',
  args: exactArgs(1),
  flags: {
    builder: text('Builder to use', { hidden: true }),
    format: text('Go template for the output; fields are Name, Manifest, Image, Provenance and SBOM', { default: '{{.Manifest}}' }),
    raw: bool('Print the manifest or index as the registry keeps it'),
  },
  async run(cli, { flags, args, changed }) {
    const name = parseName(args[0] ?? '');
    const remote = new RemoteImages(cli, false);
    const content = await remote.content(name);
    if (flags.raw) {
      if (changed.has('format')) throw new ExitError(1, 'format and raw cannot be used together');
      return cli.out.write(new TextDecoder().decode(content.bytes));
    }
    const parsed = parseManifest(content.bytes, content.mediaType);
    if (!changed.has('format') || flags.format === '{{.Manifest}}') {
      return cli.out.write(describe(name, content, parsed.kind === 'index' ? parsed : undefined));
    }
    const wanted = (field: string): boolean =>
      new RegExp(`\\.${field}\\b`).test(flags.format) || /json\s+\.\s*\}|^json$/.test(flags.format);
    const manifests = parsed.kind === 'index' ? parsed.manifests : [descriptorOf(content)];
    const attested = wanted('Provenance') || wanted('SBOM') ? await attestationsOf(remote, name, manifests) : undefined;
    const data = {
      Name: canonicalString(name),
      Manifest: withGoNames({ ...(JSON.parse(new TextDecoder().decode(content.bytes)) as object), ...descriptorOf(content) }),
      ...(wanted('Image') && { Image: withGoNames(await configsOf(remote, name, content, manifests)) }),
      ...(attested !== undefined && { Provenance: withGoNames(attested.provenance), SBOM: withGoNames(attested.sbom) }),
    };
    await printTemplate(cli, 'format', flags.format, data, '');
  },
});

const descriptorOf = ({ mediaType, digest, bytes }: RemoteContent): Descriptor => ({
  mediaType: parseManifest(bytes, mediaType).mediaType,
  digest,
  size: bytes.length,
});

/** Lines aligned as the stock command aligns them. */
const lines = (rows: readonly (readonly [string, string])[]): string =>
  alignColumns(rows.map(([key, value]) => `${key}\t${value}\n`).join(''), 0, 1);

function describe(name: Reference, content: RemoteContent, index: ImageIndex | undefined): string {
  const { mediaType, digest } = descriptorOf(content);
  const rows: [string, string][] = [
    ['Name:', canonicalString(name)],
    ['MediaType:', mediaType],
    ['Digest:', digest],
  ];
  const head = lines(rows);
  if (index === undefined) return head;
  const out = [head, '\nManifests:\n'];
  // What stands between annotations is aligned together; they are for themselves.
  let block: [string, string][] = [];
  for (const [position, entry] of index.manifests.entries()) {
    if (position > 0) block.push(['', '']);
    block.push(['  Name:', `${canonicalString(name)}@${entry.digest}`], ['  MediaType:', entry.mediaType]);
    if (entry.platform !== undefined) block.push(['  Platform:', formatPlatform(entry.platform)]);
    if (entry.urls !== undefined) block.push(['  URLs:', entry.urls.join(',')]);
    const notes = Object.entries(entry.annotations ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
    if (notes.length === 0) continue;
    block.push(['  Annotations:', '']);
    out.push(lines(block), lines(notes.map(([key, value]) => [`    ${key}:`, value])));
    block = [];
  }
  return [...out, lines(block)].join('');
}

/** The configuration of the one image, or of each by its platform. */
async function configsOf(
  remote: RemoteImages,
  name: Reference,
  content: RemoteContent,
  manifests: readonly Descriptor[],
): Promise<unknown> {
  const read = async (bytes: Uint8Array, mediaType: string): Promise<unknown> => {
    const manifest = parseManifest(bytes, mediaType);
    if (manifest.kind === 'index') return undefined;
    return JSON.parse(new TextDecoder().decode(await remote.blob(name, manifest.config)));
  };
  if (parseManifest(content.bytes, content.mediaType).kind === 'manifest') return await read(content.bytes, content.mediaType);
  const configs: Record<string, unknown> = {};
  for (const entry of manifests.filter(isImageEntry)) {
    const { bytes, mediaType } = await remote.content(withDigest(name, entry.digest));
    configs[entry.platform === undefined ? entry.digest : formatPlatform(entry.platform)] = await read(bytes, mediaType);
  }
  return configs;
}

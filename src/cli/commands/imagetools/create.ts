import { readFileSync, writeFileSync } from 'node:fs';
import { kindOf, messageOf } from '#base/errors.ts';
import { sha256, tryParseDigest } from '#oci/digest.ts';
import { type Descriptor, isImageEntry, mediaTypes, parseManifest } from '#oci/manifest.ts';
import { formatPlatform, normalizePlatform } from '#oci/platform.ts';
import { canonicalString, type Reference, repositoryOf, withDigest } from '#oci/reference.ts';
import { parsePlatform } from '../../container-options/platform.ts';
import { type ArgsRule, defineCommand } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { bool, csvList, list, text } from '../../flags/flag.ts';
import type { RemoteContent } from '../../remote/registry-port.ts';
import { parseName, RemoteImages } from '../../remote/remote-images.ts';

const anyArgs: ArgsRule = { accepts: () => true, text: '', see: 'Run' };

export const command = defineCommand({
  usage: '[OPTIONS] [SOURCE...]',
  names: ['buildx imagetools create'],
  short: 'Make an image of images that registries have',
  args: anyArgs,
  flags: {
    annotation: list('Annotation of the index, or of entries: [index:|manifest-descriptor[OS/ARCH]:]key=value'),
    append: bool('Add to what the tag stands for now'),
    builder: text('Builder to use', { hidden: true }),
    'dry-run': bool('Print what would be made and send nothing'),
    file: list('Read a source from this file: a name, a digest or a descriptor', { short: 'f' }),
    'metadata-file': text('Write what was made to this file'),
    platform: csvList('Take only these platforms of the sources', { short: 'p' }),
    'prefer-index': bool('Make an index also of a single image', { default: true }),
    progress: text('How to show progress: auto, plain, quiet', { default: 'auto' }),
    tag: list('Name of what is made', { short: 't' }),
  },
  async run(cli, { flags, args }) {
    const tags = flags.tag.map(parseName);
    const [target] = tags;
    if (args.length === 0 && flags.file.length === 0 && !flags.append) throw new ExitError(1, 'no sources specified');
    if (target === undefined && !flags['dry-run']) {
      throw new ExitError(1, "can't push with no tags specified, please set --tag or --dry-run");
    }
    if (flags.append && target === undefined) throw new ExitError(1, 'append needs a tag to add to: set --tag');
    const remote = new RemoteImages(cli, false);
    const words = [...flags.file.map(path => readFileSync(path, 'utf8').trim()), ...args];
    const sources: Source[] = [];
    if (flags.append && target !== undefined) sources.push(...(await existing(remote, target)));
    for (const word of words) sources.push(await readSource(remote, word, target));
    const chosen = await combine(remote, sources, {
      platforms: flags.platform.map(text => formatPlatform(normalizePlatform(parsePlatform(text)))),
      annotations: flags.annotation.map(parseAnnotation),
      prefersIndex: flags['prefer-index'],
    });
    if (flags['dry-run']) return cli.out.line(new TextDecoder().decode(chosen.bytes));
    for (const tag of tags) {
      for (const { repository, entry } of chosen.parts) {
        if (repositoryOf(repository) === repositoryOf(tag)) continue;
        if (flags.progress !== 'quiet') cli.err.line(`copying ${entry.digest} from ${repositoryOf(repository)} to ${repositoryOf(tag)}`);
        await remote.copy(repository, await remote.content(withDigest(repository, entry.digest)), tag);
      }
      await (await remote.repository(tag, 'push')).putManifest(tag.tag ?? 'latest', chosen.mediaType, chosen.bytes, remote.signal);
      if (flags.progress !== 'quiet') cli.err.line(`pushed ${sha256(chosen.bytes)} to ${canonicalString(tag)}`);
    }
    if (flags['metadata-file'] !== '') {
      const descriptor = { mediaType: chosen.mediaType, digest: sha256(chosen.bytes), size: chosen.bytes.length };
      const metadata = { 'containerimage.descriptor': descriptor, 'image.name': tags.map(canonicalString).join(',') };
      writeFileSync(flags['metadata-file'], `${JSON.stringify(metadata, undefined, 2)}\n`);
    }
  },
});

interface Source {
  readonly repository: Reference;
  readonly content: RemoteContent;
  /** What was said of it beyond what the registry has. */
  readonly given: Partial<Descriptor>;
}

async function existing(remote: RemoteImages, tag: Reference): Promise<Source[]> {
  try {
    return [{ repository: tag, content: await remote.content(tag), given: {} }];
  } catch (err) {
    if (kindOf(err) === 'NotFound') return [];
    throw err;
  }
}

/** A name, or a digest or descriptor of something in the repository of the tag. */
async function readSource(remote: RemoteImages, word: string, target: Reference | undefined): Promise<Source> {
  const given = word.startsWith('{') ? parseDescriptor(word) : undefined;
  const digest = tryParseDigest(given?.digest ?? word);
  if (digest === undefined) {
    if (given !== undefined) throw new ExitError(1, `the descriptor ${word} has no digest`);
    const repository = parseName(word);
    return { repository, content: await remote.content(repository), given: {} };
  }
  if (target === undefined) throw new ExitError(1, 'no repositories specified, please set a reference in tag or source');
  const repository = withDigest(target, digest);
  return { repository, content: await remote.content(repository), given: given ?? {} };
}

function parseDescriptor(text: string): Partial<Descriptor> {
  try {
    return JSON.parse(text) as Partial<Descriptor>;
  } catch (err) {
    throw new ExitError(1, `invalid descriptor ${text}: ${messageOf(err)}`, { cause: err });
  }
}

interface Annotation {
  readonly on: 'index' | 'entry';
  /** Of the entries that are meant; undefined: all. */
  readonly platform: string | undefined;
  readonly key: string;
  readonly value: string;
}

function parseAnnotation(text: string): Annotation {
  const [, kind = 'index', platform, key, value] = /^(?:([a-z-]+)(?:\[([^\]]+)\])?:)?([^=]+)=(.*)$/s.exec(text) ?? [];
  if (key === undefined || value === undefined) throw new ExitError(1, `invalid annotation "${text}", expected key=value`);
  if (kind !== 'index' && kind !== 'manifest-descriptor') {
    throw new ExitError(
      1,
      `annotation type "${kind}" is not supported here: what registries have keeps its digest; use index or manifest-descriptor`,
    );
  }
  const normalized = platform === undefined ? undefined : formatPlatform(normalizePlatform(parsePlatform(platform)));
  return { on: kind === 'index' ? 'index' : 'entry', platform: normalized, key, value };
}

interface Combined {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
  /** What has to be in a repository before. */
  readonly parts: readonly { readonly repository: Reference; readonly entry: Descriptor }[];
}

async function combine(
  remote: RemoteImages,
  sources: readonly Source[],
  options: { readonly platforms: readonly string[]; readonly annotations: readonly Annotation[]; readonly prefersIndex: boolean },
): Promise<Combined> {
  const parts: { repository: Reference; entry: Descriptor }[] = [];
  for (const { repository, content, given } of sources) {
    const parsed = parseManifest(content.bytes, content.mediaType);
    // As they are, with whatever else they say.
    if (parsed.kind === 'index') parts.push(...rawEntries(content.bytes).map(entry => ({ repository, entry })));
    else {
      const platform = given.platform ?? (await remote.platform(repository, parsed));
      const { mediaType } = parsed;
      const entry: Descriptor = {
        ...{ mediaType, digest: content.digest, size: content.bytes.length },
        ...(given.annotations !== undefined && { annotations: given.annotations }),
        ...(platform !== undefined && { platform }),
      };
      parts.push({ repository, entry });
    }
  }
  const distinct = parts.filter(({ entry }, at) => parts.findIndex(other => other.entry.digest === entry.digest) === at);
  const kept = options.platforms.length === 0 ? distinct : distinct.filter(({ entry }) => isWanted(entry, distinct, options.platforms));
  if (kept.length === 0) throw new ExitError(1, `none of the sources has the platforms ${options.platforms.join(', ')}`);
  const [only, ...others] = sources;
  if (only !== undefined && others.length === 0 && options.annotations.length === 0 && kept.length === parts.length) {
    const parsed = parseManifest(only.content.bytes, only.content.mediaType);
    // As the registry has it, with its digest.
    if (parsed.kind === 'index') return { bytes: only.content.bytes, mediaType: parsed.mediaType, parts: kept };
    if (!options.prefersIndex) return { bytes: only.content.bytes, mediaType: parsed.mediaType, parts: kept };
  }
  const isOci = kept.some(({ entry }) => entry.mediaType.startsWith('application/vnd.oci.'));
  const mediaType = isOci ? mediaTypes.ociIndex : mediaTypes.dockerIndex;
  const ofIndex = Object.fromEntries(options.annotations.filter(({ on }) => on === 'index').map(({ key, value }) => [key, value]));
  const index = {
    schemaVersion: 2,
    mediaType,
    manifests: kept.map(({ entry }) => annotated(entry, options.annotations)),
    ...(Object.keys(ofIndex).length > 0 && { annotations: ofIndex }),
  };
  return { bytes: new TextEncoder().encode(JSON.stringify(index, undefined, 2)), mediaType, parts: kept };
}

const rawEntries = (bytes: Uint8Array): readonly Descriptor[] =>
  (JSON.parse(new TextDecoder().decode(bytes)) as { readonly manifests: readonly Descriptor[] }).manifests;

/** What is attested goes with the image that it is about. */
function isWanted(entry: Descriptor, all: readonly { readonly entry: Descriptor }[], platforms: readonly string[]): boolean {
  const about = entry.annotations?.['vnd.docker.reference.digest'];
  const meant = isImageEntry(entry) ? entry : all.find(other => other.entry.digest === about)?.entry;
  return meant?.platform !== undefined && platforms.includes(formatPlatform(normalizePlatform(meant.platform)));
}

function annotated(entry: Descriptor, annotations: readonly Annotation[]): Descriptor {
  const platform = entry.platform && formatPlatform(normalizePlatform(entry.platform));
  const own = annotations.filter(
    one => one.on === 'entry' && (one.platform === undefined || one.platform === platform) && isImageEntry(entry),
  );
  if (own.length === 0) return entry;
  return { ...entry, annotations: { ...entry.annotations, ...Object.fromEntries(own.map(({ key, value }) => [key, value])) } };
}

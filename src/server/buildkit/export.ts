import { isDeepStrictEqual } from 'node:util';
import { failedPrecondition, invalidArgument, notImplemented } from '#base/errors.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import type { Attributes, Result, TypeAndAttributes } from '#api/buildkit/messages.ts';
import { writeImageArchive } from '#builder/exporters/archive.ts';
import { annotationsFor, bundleAttestations, bundleImages, type BundleImage, type ImageBundle } from '#builder/exporters/image-bundle.ts';
import type { IndexedImage } from '#builder/ports.ts';
import type { SolvedBuild } from '#builder/solver/solve.ts';
import type { Digest } from '#oci/digest.ts';
import { formatPlatform, hostPlatform, normalizePlatform, platformRank } from '#oci/platform.ts';
import { canonicalString } from '#oci/reference.ts';
import { type NewTarFile, writeTar } from '#oci/tar/writer.ts';
import { type NamedPredicate, predicatesOf } from './attestations.ts';
import { checkCacheExports, exportCaches, withInlineCache } from './cache-exports.ts';
import { authOf } from './client-services.ts';
import { ClientContent } from './client-content.ts';
import type { ClientSession } from './client-session.ts';
import { imageOptions, type ImageOptions } from './export-options.ts';
import type { FrontendContext } from './frontend-context.ts';
import { isTrue } from './frontend-options.ts';
import type { Job, KeptResult } from './job.ts';
import type { VertexProgress } from './progress.ts';
import { type FileToSend, sendBytes, sendDirectory, toTar, walk } from './send-files.ts';

/** What is told of an export, by the keys that clients know. */
export type ExportResponse = Record<string, string>;

export interface Exported {
  readonly context: FrontendContext;
  readonly job: Job;
  readonly result: Result;
  readonly cacheExports: readonly TypeAndAttributes[];
}

/** A result, and what the image of it says. */
export interface ExportedResult extends KeptResult {
  readonly config: ImageConfigFile;
}

/** Everything that an exporter works with. */
interface Export {
  readonly context: FrontendContext;
  /** Images say which results of steps their layers are. */
  readonly hasInlineCache: boolean;
  readonly job: Job;
  readonly builds: readonly ExportedResult[];
  /** Several platforms, or one that is to look like several. */
  readonly isIndex: boolean;
  readonly session: () => Promise<ClientSession>;
  readonly attributes: Attributes;
  /** Its place among the exporters. */
  readonly index: number;
}

/** Rejects with NotImplemented, InvalidArgument for a place that results or caches cannot be brought to: before anything is built for it. */
export function checkExports(exporters: readonly TypeAndAttributes[], cacheExports: readonly TypeAndAttributes[]): void {
  for (const { Type } of exporters) exporterOf(Type);
  checkCacheExports(cacheExports);
}

/** Brings what a build has come to where the client wants it. */
export async function exportResult(
  { context, job, result, cacheExports }: Exported,
  exporters: readonly TypeAndAttributes[],
): Promise<ExportResponse> {
  const builds = resultsOf(job, result);
  const response: ExportResponse = {};
  const isIndex = result.refs !== undefined || result.refsDeprecated !== undefined;
  const hasInlineCache = cacheExports.some(({ Type }) => Type === 'inline');
  const session = (): Promise<ClientSession> => context.sessions.get(job.sessionId, job.signal);
  for (const [index, { Type, Attrs }] of exporters.entries())
    Object.assign(response, await exporterOf(Type)({ context, hasInlineCache, job, builds, isIndex, session, attributes: Attrs, index }));
  if (builds.length > 0) Object.assign(response, await exportCaches(cacheExports, { job, results: builds, session }));
  return response;
}

/** The results of a build, in the order in which their platforms were asked for. */
export function resultsOf(job: Job, { ref, refs, refDeprecated, refsDeprecated, metadata }: Result): ExportedResult[] {
  const order = platformOrder(metadata);
  const byOrder = Object.entries(refs?.refs ?? refsDeprecated?.refs ?? {}).sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
  const ids = [
    ['', ref?.id ?? refDeprecated ?? ''],
    ...byOrder.map(([platform, entry]) => [`/${platform}`, typeof entry === 'string' ? entry : entry.id]),
  ] as const;
  return ids.flatMap(([platform, id = '']) => {
    if (id === '') return [];
    const result = job.result(id);
    return [{ ...result, config: configOf(result, metadata[`containerimage.config${platform ?? ''}`]) }];
  });
}

/** What an image says is what its client says; which layers it has is known here. */
function configOf({ build }: KeptResult, given: Uint8Array | undefined): ImageConfigFile {
  if (given === undefined) return build.config;
  const config = parseConfig(given);
  const diffIds = build.layers.map(({ diffId }) => diffId);
  const { history = [] } = config;
  const listed = history.filter(entry => entry.empty_layer !== true).length;
  if (isDeepStrictEqual(config.rootfs?.diff_ids, diffIds) && listed === diffIds.length) return config;
  // A list that does not fit the layers would make the image invalid.
  const { history: _history, ...rest } = config;
  const image = { ...rest, rootfs: { type: 'layers' as const, diff_ids: diffIds } };
  return listed === diffIds.length ? { ...image, history } : image;
}

function parseConfig(bytes: Uint8Array): ImageConfigFile {
  try {
    const config = JSON.parse(new TextDecoder().decode(bytes)) as Partial<ImageConfigFile> | null;
    if (typeof config?.os === 'string' && typeof config.architecture === 'string') return config as ImageConfigFile;
  } catch {
    // Said below.
  }
  throw invalidArgument('the configuration of the image is not valid: expected JSON with os and architecture');
}

/** The order of platforms as they were asked for: on their way through a client, results lose it. */
function platformOrder(metadata: Result['metadata']): string[] {
  const bytes = metadata['refs.platforms'];
  if (bytes === undefined) return [];
  const { Platforms = [] } = JSON.parse(new TextDecoder().decode(bytes)) as { readonly Platforms?: readonly { readonly ID: string }[] };
  return Platforms.map(({ ID }) => ID);
}

function exporterOf(type: string): (given: Export) => Promise<ExportResponse> {
  switch (type) {
    case 'moby':
    case 'image':
      return exportImage;
    case 'oci':
    case 'docker':
      return given => exportArchive(given, type === 'docker');
    case 'local':
    case 'tar':
      return given => exportFiles(given, type === 'tar');
    default:
      throw notImplemented(`the exporter ${JSON.stringify(type)} is not known: expected image, local, tar, oci or docker`);
  }
}

async function exportImage(given: Export): Promise<ExportResponse> {
  const { job, builds, attributes } = given;
  const options = imageOptions(attributes, { isOci: false });
  if (builds.length === 0) return {};
  const vertex = job.progress.vertex(`export ${String(given.index)}`, 'exporting to image');
  return await vertex.run(async () => {
    const response = await keepImages(given, options);
    vertex.part(`writing image ${response['containerimage.digest'] ?? ''}`, { isDone: true });
    for (const name of options.names) vertex.part(`naming to ${canonicalString(name)}`, { isDone: true });
    if (options.names.length > 0) response['image.name'] = options.names.map(canonicalString).join(',');
    if (options.push) Object.assign(response, await pushAll(given, options, vertex));
    return response;
  });
}

/** Makes the results images of this daemon: one, or an index of several that its names stand for. */
async function keepImages(given: Export, options: ImageOptions): Promise<ExportResponse> {
  const { context, job, builds, isIndex } = given;
  const images: (IndexedImage & { readonly isSaidOf: boolean; readonly build: SolvedBuild })[] = [];
  for (const result of builds) {
    const { build } = result;
    const platform = normalizePlatform(result.config);
    const predicates = await predicatesOf(context, job, result, { isInline: false });
    const attestations = predicates.map(({ type, value }) => ({ predicateType: type, predicate: value }));
    images.push({
      build,
      config: configFor(given, result),
      layers: build.layers,
      annotations: annotationsFor(options.annotations, 'manifest', platform).annotations,
      entryAnnotations: annotationsFor(options.annotations, 'manifest-descriptor', platform).annotations,
      isSaidOf: attestations.length > 0,
      attest: about => (attestations.length === 0 ? undefined : statementsAbout(bundleAttestations({ attestations, platform }, about))),
    });
  }
  const { annotations } = annotationsFor(options.annotations, 'index', undefined);
  const [first] = images;
  const isWhole = isIndex || images.length > 1 || annotations !== undefined || images.some(({ isSaidOf }) => isSaidOf);
  if (first !== undefined && isWhole && options.names.length > 0) {
    const { id, index } = await first.build.workspace.addIndex({ images, names: options.names, annotations }, job.signal);
    const descriptor = Buffer.from(JSON.stringify(index)).toString('base64');
    return {
      'containerimage.digest': index.digest,
      'containerimage.descriptor': descriptor,
      ...(images.length === 1 && { 'containerimage.config.digest': id }),
    };
  }
  // Without a name nothing would keep an index.
  const ids: Digest[] = [];
  for (const { build, config, annotations: own } of images) ids.push(await build.save(options.names, { config, annotations: own }));
  const here = ids[images.findIndex(({ build }) => platformRank(hostPlatform(), build.platform) !== undefined)] ?? ids[0] ?? '';
  return { 'containerimage.config.digest': here, 'containerimage.digest': here };
}

const configFor = ({ hasInlineCache }: Export, { build, config }: ExportedResult): ImageConfigFile =>
  hasInlineCache ? withInlineCache(build, config) : config;

const statementsAbout = ({ blobs, manifest, entry }: ReturnType<typeof bundleAttestations>) => ({
  entry,
  blobs: [manifest.bytes, ...blobs.map(({ bytes }) => bytes)],
});

async function pushAll(given: Export, options: ImageOptions, vertex: VertexProgress): Promise<ExportResponse> {
  const { job, builds } = given;
  const [{ build } = undefined as never] = builds;
  const bundle = await bundleOf(given, options, { isAttested: true });
  const session = await given.session();
  for (const name of options.names) {
    vertex.part(`pushing ${canonicalString(name)}`, {});
    const auth = await authOf(session, name.domain, job.signal);
    const report = (digest: string, current: number, total: number): void =>
      vertex.part(`pushing layer ${digest}`, { current, total, isDone: current === total });
    await build.workspace.push(bundle, { reference: name, auth, report }, job.signal);
    vertex.part(`pushing ${canonicalString(name)}`, { isDone: true });
  }
  return describe(bundle);
}

/** The digests that clients want to know of what has left. */
function describe({ root, configs }: ImageBundle): ExportResponse {
  const [config, ...others] = configs;
  return {
    'containerimage.digest': root.digest,
    'containerimage.descriptor': Buffer.from(JSON.stringify(root)).toString('base64'),
    ...(config !== undefined && others.length === 0 && { 'containerimage.config.digest': config.digest }),
  };
}

async function bundleOf(given: Export, options: ImageOptions, { isAttested }: { readonly isAttested: boolean }): Promise<ImageBundle> {
  const { context, job, builds, isIndex } = given;
  const images: BundleImage[] = [];
  for (const result of builds) {
    const { build } = result;
    const predicates = isAttested ? await predicatesOf(context, job, result, { isInline: true }) : [];
    const attestations = predicates.map(({ type, value }) => ({ predicateType: type, predicate: value }));
    const layers = [];
    for (const layer of build.layers) layers.push(await build.workspace.blobOf(layer, options.form, job.signal));
    images.push({ platform: normalizePlatform(result.config), config: configFor(given, result), layers, attestations });
  }
  return bundleImages(images, { isOci: options.isOci, isIndex, annotations: options.annotations });
}

async function exportArchive(given: Export, isDocker: boolean): Promise<ExportResponse> {
  const { job, attributes, builds, isIndex } = given;
  if (isDocker && (isIndex || builds.length > 1))
    throw failedPrecondition('the docker exporter does not write images of several platforms: use the oci exporter');
  const options = imageOptions(attributes, { isOci: !isDocker });
  const vertex = job.progress.vertex(`export ${String(given.index)}`, `exporting to ${isDocker ? 'docker image' : 'oci image'} format`);
  return await vertex.run(async () => {
    const bundle = await bundleOf(given, options, { isAttested: !isDocker });
    const session = await given.session();
    const isTar = attributes.tar === undefined || isTrue(attributes.tar);
    vertex.part(isTar ? 'sending tarball' : 'sending files', {});
    if (isTar) {
      const bytes = writeImageArchive(bundle, options.names, { isDocker }, job.signal);
      await sendBytes(session, given.index, bytes, describe(bundle), job.signal);
    } else {
      // The client makes the layout's index itself, of the descriptor that it is told.
      const content = new ClientContent(session, 'export');
      for (const { descriptor, open } of bundle.blobs)
        await content.write(descriptor.digest, descriptor.size, open(job.signal), job.signal);
      for (const { descriptor, bytes } of bundle.manifests)
        await content.write(descriptor.digest, bytes.length, new Blob([bytes]).stream(), job.signal);
    }
    vertex.part(isTar ? 'sending tarball' : 'sending files', { isDone: true });
    const names = options.names.map(canonicalString).join(',');
    return { ...describe(bundle), ...(names !== '' && { 'image.name': names }) };
  });
}

function toFile({ entry, content }: NewTarFile): FileToSend {
  const isDirectory = entry.type === 'directory';
  const stat = {
    path: entry.name,
    mode: isDirectory ? 2 ** 31 + 0o755 : 0o644,
    uid: 0,
    gid: 0,
    size: entry.sizeBytes ?? (content instanceof Uint8Array ? content.length : 0),
    modTime: '0',
    linkname: '',
    devmajor: 0,
    devminor: 0,
    xattrs: {},
  };
  const open = async function* (): AsyncGenerator<Uint8Array> {
    await Promise.resolve();
    if (content instanceof Uint8Array) yield content;
    else if (content !== undefined) yield* content;
  };
  return { stat, open };
}

/** What is said about files, in a file beside them. */
function statementFile({ file, type, value }: NamedPredicate, prefix: string): FileToSend {
  const statement = { _type: 'https://in-toto.io/Statement/v0.1', predicateType: type, subject: [], predicate: value };
  const content = new TextEncoder().encode(JSON.stringify(statement, undefined, 2));
  return toFile({ entry: { name: prefix === '' ? file : `${prefix}/${file}` }, content });
}

/** Directories before what is in them, names in order. */
function inOrder(a: FileToSend, b: FileToSend): number {
  const [left, right] = [a.stat.path.replaceAll('/', '\0'), b.stat.path.replaceAll('/', '\0')];
  return left < right ? -1 : left > right ? 1 : 0;
}

async function exportFiles(given: Export, isTar: boolean): Promise<ExportResponse> {
  const { context, job, builds, attributes, isIndex, index } = given;
  const isSplit = isIndex && attributes['platform-split'] !== 'false';
  const vertex = job.progress.vertex(`export ${String(index)}`, isTar ? 'exporting to client tarball' : 'exporting to client directory');
  return await vertex.run(async () => {
    const session = await given.session();
    const roots: { readonly root: string; readonly prefix: string; readonly predicates: readonly NamedPredicate[] }[] = [];
    for (const result of builds) {
      const { build } = result;
      const prefix = isSplit ? formatPlatform(build.platform).replaceAll('/', '_') : '';
      roots.push({ root: await build.view(), prefix, predicates: await predicatesOf(context, job, result, { isInline: false }) });
    }
    vertex.part('copying files', {});
    const files = function* (): Generator<FileToSend> {
      for (const { root, prefix, predicates } of roots.toSorted((a, b) => (a.prefix < b.prefix ? -1 : 1)))
        yield* [...walk(root, prefix), ...predicates.map(predicate => statementFile(predicate, prefix))].sort(inOrder);
    };
    if (isTar) await sendBytes(session, index, writeTar(toTar(files())), {}, job.signal);
    else await sendDirectory(session, index, files(), job.signal);
    vertex.part('copying files', { isDone: true });
    return {};
  });
}

import { conflict, kindOf, messageOf } from '#base/errors.ts';
import type { ChainId, LayerDamage } from '#core/snapshots.ts';
import type { Digest } from '#oci/digest.ts';
import { chainOf } from '#oci/digest.ts';
import { familiarString } from '#oci/reference.ts';
import type { RegistryContext } from './context.ts';
import { healBlob, healLayer, type Outcome } from './heal.ts';
import type { ImageLayer, ImageRecord, IndexRecord, Report } from './model.ts';
import { progressMeter } from './progress.ts';
import type { BlobKind, StoreDamage, VerifyOptions, VerifyReport } from './verify-report.ts';
import type { Lease } from './retention.ts';
import { readFileChunks } from './file-chunks.ts';

/** Looks at every blob and every layer. One at a time: it reads the whole store. */
export class StoreVerifier {
  readonly #context: RegistryContext;
  #isRunning = false;

  constructor(context: RegistryContext) {
    this.#context = context;
  }

  /** Rejects with Conflict while another one runs. */
  async verify(options: VerifyOptions, report: Report, signal: AbortSignal): Promise<VerifyReport> {
    if (this.#isRunning) throw conflict('the store is being verified already');
    this.#isRunning = true;
    try {
      return await new Verification(this.#context, options, report, signal).run();
    } finally {
      this.#isRunning = false;
    }
  }
}

class Verification {
  readonly #context: RegistryContext;
  readonly #options: VerifyOptions;
  readonly #report: Report;
  readonly #signal: AbortSignal;
  readonly #damage: StoreDamage[] = [];
  /** Blobs that are what their digests say. */
  readonly #sound = new Set<Digest>();
  /** Layers that are what their chain ids say. */
  readonly #soundLayers = new Set<ChainId>();

  constructor(context: RegistryContext, options: VerifyOptions, report: Report, signal: AbortSignal) {
    this.#context = context;
    this.#options = options;
    this.#report = report;
    this.#signal = signal;
  }

  async run(): Promise<VerifyReport> {
    const { content, snapshots, retention } = this.#context;
    await using lease = retention.lease();
    const chains = snapshots.chains();
    const blobs = (await Array.fromAsync(content.list())).map(({ digest }) => digest);
    // What is removed meanwhile would look like damage.
    await lease.hold(
      blobs,
      chains.map(({ chainId }) => chainId),
    );
    let bytes = 0;
    // Layers first: a damaged blob of a sound layer is no loss.
    const suspects: Digest[] = [];
    const blobMeter = progressMeter(this.#report);
    for (const [index, digest] of blobs.entries()) {
      this.#signal.throwIfAborted();
      blobMeter({ id: 'blobs', status: 'Verifying', current: index, total: blobs.length });
      bytes += (await content.info(digest))?.sizeBytes ?? 0;
      const isSound = await content.verify(digest, { signal: this.#signal });
      if (isSound === true) this.#sound.add(digest);
      else if (isSound === false) suspects.push(digest);
    }
    this.#report({ id: 'blobs', status: 'Verified', current: blobs.length, total: blobs.length });
    const layerMeter = progressMeter(this.#report);
    for (const [index, { chainId, parent }] of chains.entries()) {
      this.#signal.throwIfAborted();
      layerMeter({ id: 'layers', status: 'Verifying', current: index, total: chains.length });
      bytes += snapshots.layerSize(chainId) ?? 0;
      await this.#verifyLayer(lease, chainId, parent);
    }
    this.#report({ id: 'layers', status: 'Verified', current: chains.length, total: chains.length });
    for (const { digest, isThere } of [...suspects.map(each => ({ digest: each, isThere: true })), ...(await this.#missingBlobs())])
      await this.#treatBlob(lease, digest, isThere);
    return { blobs: blobs.length, layers: chains.length, bytes, damage: this.#damage };
  }

  async #verifyLayer(lease: Lease, chainId: ChainId, parent: ChainId | undefined): Promise<void> {
    const { snapshots, log } = this.#context;
    if (!snapshots.has(chainId)) return;
    const found = await this.#lookAt(chainId, parent);
    if (found.length === 0) return void this.#soundLayers.add(chainId);
    log.warn('a layer is damaged', { layer: chainId, found });
    const users = this.#imagesWith(layer => layer.chainId === chainId);
    const outcome = await this.#attempt(() =>
      healLayer(this.#context, lease, {
        chainId,
        parent,
        layer: this.#layerOf(chainId),
        users,
        names: [],
        sound: { blobs: this.#sound, layers: this.#soundLayers },
        authOf: domain => this.#options.authOf(domain),
        signal: this.#signal,
        report: this.#report,
      }),
    );
    if (outcome.healed) this.#soundLayers.add(chainId);
    this.#tell({ kind: 'layer', id: chainId, found, images: users.map(image => this.#nameOf(image)), ...outcome });
  }

  /** What is wrong with a layer, in words. */
  async #lookAt(chainId: ChainId, parent: ChainId | undefined): Promise<string[]> {
    const { snapshots, content, decompress } = this.#context;
    const signal = this.#signal;
    try {
      const layer = this.#layerOf(chainId);
      const needsBlob = snapshots.tarSize(chainId) === undefined;
      if (needsBlob && (layer === undefined || !this.#sound.has(layer.digest))) {
        return ['there is nothing sound to compare it with: neither its blob nor a record of how its tar was packed'];
      }
      const tar = needsBlob ? { tar: decompress(readFileChunks(await content.path(layer?.digest as Digest), signal), { signal }) } : {};
      const { diffId, damage } = await snapshots.check(chainId, { ...tar, signal });
      const words = damage.map(wordsOf);
      return words.length > 0 || chainOf(diffId, parent) === chainId
        ? words
        : [`its files pack to ${diffId}, which is not what was unpacked`];
    } catch (err) {
      signal.throwIfAborted();
      if (kindOf(err) === 'NotFound') return snapshots.has(chainId) ? [messageOf(err)] : [];
      return [messageOf(err)];
    }
  }

  /** Blobs that images cannot do without, and that are not there. */
  async #missingBlobs(): Promise<{ readonly digest: Digest; readonly isThere: boolean }[]> {
    const { store, content, snapshots } = this.#context;
    const missing = new Set<Digest>();
    for (const { id, manifest, layers } of store.all()) {
      const kept = layers.filter(layer => snapshots.tarSize(layer.chainId) === undefined).map(layer => layer.digest);
      for (const digest of [id, manifest, ...kept]) if ((await content.info(digest)) === undefined) missing.add(digest);
    }
    for (const { blobs } of store.indexes())
      for (const digest of blobs) if ((await content.info(digest)) === undefined) missing.add(digest);
    return [...missing].map(digest => ({ digest, isThere: false }));
  }

  async #treatBlob(lease: Lease, digest: Digest, isThere: boolean): Promise<void> {
    const { store, log } = this.#context;
    const asConfig = store.all().filter(image => image.id === digest);
    const asManifest = store.all().filter(image => image.manifest === digest);
    const asLayer = this.#imagesWith(layer => layer.digest === digest);
    const indexes = [...store.indexes()].filter(({ blobs }) => blobs.includes(digest));
    const names = indexes.flatMap(index => store.referencesOfIndex(index));
    const users = [...new Set([...asConfig, ...asManifest, ...asLayer])];
    const kind = kindOfBlob(digest, { asConfig, asManifest, asLayer, indexes });
    const images = new Set([...users.map(image => this.#nameOf(image)), ...names.filter(ref => ref.tag !== undefined).map(familiarString)]);
    const found = [isThere ? 'its bytes are not what its digest says' : 'is not there'];
    log.warn('a blob is damaged', { blob: digest, found });
    const outcome = await this.#attempt(() =>
      healBlob(this.#context, lease, {
        digest,
        kind,
        users,
        names,
        soundLayers: this.#soundLayers,
        authOf: domain => this.#options.authOf(domain),
        signal: this.#signal,
        report: this.#report,
      }),
    );
    this.#tell({ kind, id: digest, found, images: [...images], ...outcome });
  }

  async #attempt(heal: () => Promise<Outcome>): Promise<Outcome> {
    if (!this.#options.heal) return { healed: false, note: 'healing was not asked for', containers: [] };
    try {
      return await heal();
    } catch (err) {
      this.#signal.throwIfAborted();
      return { healed: false, note: messageOf(err), containers: [] };
    }
  }

  #tell(damage: StoreDamage): void {
    this.#damage.push(damage);
    this.#report({ text: `${damage.kind} ${damage.id}: ${damage.healed ? 'healed' : 'damaged'}: ${damage.note}\n` });
  }

  /** What is known of the tar of a layer that an image or a cache has. */
  #layerOf(chainId: ChainId): ImageLayer | undefined {
    for (const { layers } of this.#context.store.all()) for (const layer of layers) if (layer.chainId === chainId) return layer;
    return undefined;
  }

  #imagesWith(matches: (layer: ImageLayer) => boolean): ImageRecord[] {
    return this.#context.store.all().filter(image => image.layers.some(matches));
  }

  #nameOf(image: ImageRecord): string {
    const [ref] = this.#context.store.references(image.id);
    return ref === undefined ? image.id : familiarString(ref);
  }
}

interface UsersOfBlob {
  readonly asConfig: readonly ImageRecord[];
  readonly asManifest: readonly ImageRecord[];
  readonly asLayer: readonly ImageRecord[];
  readonly indexes: readonly IndexRecord[];
}

function kindOfBlob(digest: Digest, { asConfig, asManifest, asLayer, indexes }: UsersOfBlob): BlobKind {
  if (asConfig.length > 0) return 'config';
  if (asManifest.length > 0) return 'manifest';
  if (asLayer.length > 0 || indexes.length === 0) return 'layer blob';
  return indexes.some(index => index.digest === digest) ? 'index' : 'attestation';
}

const wordsOf = ({ path, what }: LayerDamage): string => (path === '' ? `its root ${what}` : `"${path}" ${what}`);

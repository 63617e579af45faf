import { tryParseDigest, type Digest } from '#oci/digest.ts';
import type { Descriptor } from '#oci/manifest.ts';

/** The result of a step on its way between machines: the key says what it depends on, the layer's blob lies beside. */
export interface PortableRecord {
  readonly key: string;
  readonly description: string;
  readonly parentChain: Digest | null;
  readonly sizeBytes: number;
  /** ISO 8601. */
  readonly createdAt: string;
  /** Null: the step changed no file. */
  readonly layer: { readonly diffId: Digest; readonly blob: Descriptor } | null;
}

/** Results that another machine, or another time, has left. */
export interface RemoteCache {
  find(key: string): RemoteResult | undefined;
}

export interface RemoteResult {
  readonly record: PortableRecord;
  /** The layer's bytes, in whatever compression. */
  open(signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export const cacheConfigType = 'application/vnd.berth.buildcache.config.v1+json';
/** Under this key an image's configuration holds the records of its own layers. */
export const inlineKey = 'berth.buildcache.v1';

const encoder = new TextEncoder();

/** A configuration blob with records, whose layers are those of its manifest. */
export const encodeRecords = (records: readonly PortableRecord[]): Uint8Array => encoder.encode(JSON.stringify({ version: 1, records }));

/** Reads what `encodeRecords` or an image's configuration has written; what is not as it should be is no record. */
export function decodeRecords(value: unknown): PortableRecord[] {
  const { version, records } = (value ?? {}) as { readonly version?: unknown; readonly records?: unknown };
  return version === 1 && Array.isArray(records) ? records.filter(isRecord) : [];
}

function isRecord(value: unknown): value is PortableRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { key, description, parentChain, sizeBytes, createdAt, layer } = value as Record<string, unknown>;
  return (
    typeof key === 'string' &&
    typeof description === 'string' &&
    (parentChain === null || isDigest(parentChain)) &&
    typeof sizeBytes === 'number' &&
    typeof createdAt === 'string' &&
    !Number.isNaN(Date.parse(createdAt)) &&
    (layer === null || isLayer(layer))
  );
}

const isDigest = (value: unknown): value is Digest => typeof value === 'string' && tryParseDigest(value) !== undefined;

function isLayer(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { diffId, blob } = value as { readonly diffId?: unknown; readonly blob?: Partial<Descriptor> };
  return isDigest(diffId) && isDigest(blob?.digest) && typeof blob?.size === 'number' && typeof blob.mediaType === 'string';
}

import { describe, expect, test } from 'bun:test';
import { kindOf } from '#base/errors.ts';
import { sha256 } from './digest.ts';
import { encodeManifest, type ImageIndex, mediaTypes, parseManifest, selectManifest } from './manifest.ts';
import { hostPlatform } from './platform.ts';

const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const descriptor = (text: string, extra: object = {}): object => ({
  mediaType: mediaTypes.ociManifest,
  digest: sha256(text),
  size: 3,
  ...extra,
});
const index = (...manifests: object[]): ImageIndex =>
  parseManifest(bytes({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests })) as ImageIndex;

describe('parseManifest()', () => {
  test('encodeManifest() never mixes the names of Docker and OCI', () => {
    const typesFor = (...types: readonly string[]): string[] => {
      const layers = types.map(mediaType => ({ mediaType, digest: sha256(mediaType), size: 1 }));
      const manifest = parseManifest(encodeManifest({ digest: sha256('config'), size: 5 }, layers));
      return [manifest.mediaType, ...('layers' in manifest ? manifest.layers.map(layer => layer.mediaType) : [])];
    };
    const { ociLayerGzip, ociLayerZstd, dockerLayerGzip, dockerManifest, ociManifest } = mediaTypes;
    expect(typesFor(ociLayerGzip, dockerLayerGzip)).toEqual([dockerManifest, dockerLayerGzip, dockerLayerGzip]);
    expect(typesFor(ociLayerZstd, dockerLayerGzip)).toEqual([ociManifest, ociLayerZstd, ociLayerGzip]);
  });

  test('reads what encodeManifest() writes', () => {
    const layer = { mediaType: mediaTypes.dockerLayerGzip, digest: sha256('layer'), size: 7 };
    expect(parseManifest(encodeManifest({ digest: sha256('config'), size: 5 }, [layer]))).toEqual({
      kind: 'manifest',
      mediaType: mediaTypes.dockerManifest,
      config: { mediaType: mediaTypes.dockerConfig, digest: sha256('config'), size: 5 },
      layers: [layer],
    });
  });

  test('takes the announced type, then the shape, when the manifest does not name one', () => {
    const manifest = { schemaVersion: 2, config: descriptor('c'), layers: [] };
    expect(parseManifest(bytes(manifest), `${mediaTypes.dockerManifest}; charset=utf-8`).mediaType).toBe(mediaTypes.dockerManifest);
    expect(parseManifest(bytes(manifest), 'application/octet-stream').mediaType).toBe(mediaTypes.ociManifest);
    expect(parseManifest(bytes({ schemaVersion: 2, manifests: [] })).kind).toBe('index');
  });

  for (const [what, value, message] of [
    ['an HTML page', '<html>', 'got an HTML page (content type text/html)'],
    ['schema 1', { schemaVersion: 1, config: {} }, 'withdrawn schema version 1'],
    ['an unknown type', { schemaVersion: 2, mediaType: 'x/y' }, 'unsupported manifest media type "x/y"'],
    ['a bad digest', { schemaVersion: 2, config: { digest: 'md5:1', size: 1 } }, 'bad digest "md5:1" in "config"'],
    ['a bad size', { schemaVersion: 2, config: { digest: sha256('x'), size: -1 } }, 'bad size -1'],
    ['no layers', { schemaVersion: 2, config: descriptor('c') }, '"layers" is not a list'],
    ['another shape', { schemaVersion: 2 }, 'neither a config nor a list of manifests'],
  ] as const) {
    test(`refuses ${what}`, () => {
      const attempt = (): unknown => parseManifest(bytes(value), 'text/html');
      expect(attempt).toThrow(message);
      try {
        attempt();
      } catch (err) {
        expect(kindOf(err)).toBe('DataLoss');
      }
    });
  }

  test('refuses a manifest that was announced as something else', () => {
    const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config: descriptor('c'), layers: [] };
    expect(() => parseManifest(bytes(manifest), mediaTypes.ociIndex)).toThrow('announced as');
  });
});

describe('selectManifest()', () => {
  const arm = (text: string, variant: string): object => descriptor(text, { platform: { os: 'linux', architecture: 'arm', variant } });

  test('takes the best the machine can run', () => {
    const choice = selectManifest(index(arm('5', 'v5'), arm('7', 'v7'), arm('6', 'v6')), hostPlatform('arm'));
    expect(choice?.digest).toBe(sha256('7'));
  });

  test('skips attestations and other platforms', () => {
    const attestation = descriptor('a', { platform: { os: 'unknown', architecture: 'unknown' } });
    expect(selectManifest(index(attestation, arm('7', 'v7')), hostPlatform('x64'))).toBeUndefined();
  });

  test('takes an entry without platform when nothing better is there', () => {
    const bare = descriptor('bare');
    expect(selectManifest(index(bare), hostPlatform('x64'))?.digest).toBe(sha256('bare'));
    const exact = descriptor('exact', { platform: { os: 'linux', architecture: 'amd64' } });
    expect(selectManifest(index(bare, exact), hostPlatform('x64'))?.digest).toBe(sha256('exact'));
  });
});

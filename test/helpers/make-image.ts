import { gzipSync } from 'node:zlib';
import { encodedOf, sha256 } from '#oci/digest.ts';

const block = 512;

/** A tar archive of these files, in order; a value that names another path with `→` is a symlink. */
export function makeTar(files: Readonly<Record<string, Uint8Array | string>>): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [name, value] of Object.entries(files)) {
    const target = typeof value === 'string' && value.startsWith('→') ? value.slice(1) : undefined;
    const body = target !== undefined ? new Uint8Array(0) : typeof value === 'string' ? new TextEncoder().encode(value) : value;
    const header = Buffer.alloc(block);
    header.write(name, 0, 100);
    header.write('0000644\0', 100);
    header.write('0000000\0', 108);
    header.write('0000000\0', 116);
    header.write(`${body.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write('00000000000\0', 136);
    header.write('        ', 148);
    header.write(target === undefined ? '0' : '2', 156);
    if (target !== undefined) header.write(target, 157, 100);
    header.write('ustar\x0000', 257, 'latin1');
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    parts.push(header, body, Buffer.alloc((block - (body.length % block)) % block));
  }
  return Buffer.concat([...parts, Buffer.alloc(2 * block)]);
}

export interface MadeImage {
  readonly id: string;
  readonly config: Uint8Array;
  /** As stored: compressed when asked for. */
  readonly layers: readonly Uint8Array[];
  readonly diffIds: readonly string[];
}

/** A small image whose layers hold one file each, with the given text. */
export function makeImage(
  texts: readonly string[],
  options: { readonly config?: object; readonly created?: string; readonly architecture?: string; readonly compress?: boolean } = {},
): MadeImage {
  const tars = texts.map((text, index) => makeTar({ [`file-${index}`]: text }));
  const diffIds = tars.map(tar => sha256(tar));
  const config = JSON.stringify({
    created: options.created ?? '2024-01-02T03:04:05Z',
    architecture: options.architecture ?? 'amd64',
    os: 'linux',
    config: options.config ?? { Cmd: ['/bin/sh'] },
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: texts.map((_text, index) => ({ created: '2024-01-02T03:04:05Z', created_by: `step ${index}` })),
  });
  const bytes = new TextEncoder().encode(config);
  return { id: sha256(bytes), config: bytes, diffIds, layers: options.compress === true ? tars.map(tar => gzipSync(tar)) : tars };
}

/** The layout that `docker save` wrote before version 25. */
export function oldArchive(images: readonly { readonly image: MadeImage; readonly tags: readonly string[] }[]): Uint8Array {
  const files: Record<string, Uint8Array | string> = {};
  const list = images.map(({ image, tags }) => {
    const hex = image.id.replace('sha256:', '');
    const layers = image.layers.map(layer => {
      const id = encodedOf(sha256(layer));
      files[`${id}/VERSION`] = '1.0';
      files[`${id}/json`] = '{}';
      files[`${id}/layer.tar`] = layer;
      return `${id}/layer.tar`;
    });
    files[`${hex}.json`] = image.config;
    return { Config: `${hex}.json`, RepoTags: tags.length === 0 ? null : tags, Layers: layers };
  });
  files['manifest.json'] = JSON.stringify(list);
  return makeTar(files);
}

/** An OCI layout. The descriptor of each image gets these annotations. */
export function ociArchive(
  images: readonly { readonly image: MadeImage; readonly annotations?: Readonly<Record<string, string>>; readonly platform?: object }[],
): { readonly tar: Uint8Array; readonly manifests: readonly Uint8Array[] } {
  const files: Record<string, Uint8Array | string> = { 'oci-layout': '{"imageLayoutVersion":"1.0.0"}' };
  const blob = (data: Uint8Array, mediaType: string): object => {
    files[`blobs/sha256/${encodedOf(sha256(data))}`] = data;
    return { mediaType, digest: sha256(data), size: data.length };
  };
  const manifests = images.map(({ image }) => {
    const layers = image.layers.map(layer => blob(layer, `application/vnd.oci.image.layer.v1.tar${layer[0] === 0x1f ? '+gzip' : ''}`));
    const config = blob(image.config, 'application/vnd.oci.image.config.v1+json');
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    return new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
  });
  const entries = manifests.map((manifest, index) => {
    const { annotations, platform } = images[index] ?? {};
    return {
      ...blob(manifest, 'application/vnd.oci.image.manifest.v1+json'),
      ...(annotations && { annotations }),
      ...(platform && { platform }),
    };
  });
  files['index.json'] = JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: entries });
  return { tar: makeTar(files), manifests };
}

/** The bytes in pieces, as a connection delivers them. */
export async function* inPieces(bytes: Uint8Array, pieceBytes = 1000): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    await Promise.resolve();
    yield bytes.slice(at, at + pieceBytes);
  }
}

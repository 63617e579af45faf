import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attestationOptions } from './attestations.ts';
import { cacheExports, cacheImports, imagesOfCaches, noteCaches } from './caches.ts';
import { findInLayout, noteInLayout } from './layout.ts';
import { parseNamedContexts } from './named-contexts.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'berth-sources-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;
const manifest = (letter: string) => ({ mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: digest(letter), size: 1 });

test('a layout knows the last image of each tag', () => {
  noteInLayout(folder, manifest('a'), ['latest', '1'], ['docker.io/library/x:latest', 'docker.io/library/x:1']);
  noteInLayout(folder, manifest('b'), ['1']);
  expect([findInLayout(folder, 'latest')?.digest, findInLayout(folder, '1')?.digest, findInLayout(folder, '2')]).toEqual([
    digest('a'),
    digest('b'),
    undefined,
  ]);
  expect(findInLayout(join(folder, 'none'), 'latest')).toBeUndefined();
});

test('caches: names alone are registries; a directory is found by its tag, and left out when it has nothing', () => {
  expect(cacheImports(['a,b:1', 'type=registry,ref=c']).entries.map(({ Attrs }) => Attrs.ref)).toEqual(['a', 'b:1', 'c']);
  expect(imagesOfCaches(['a,b:1', 'type=local,src=x', 'type=registry,ref=c'])).toEqual(['a', 'b:1', 'c']);
  expect(cacheImports([`type=local,src=${folder}`]).entries).toEqual([]);
  const exports = cacheExports([`type=local,dest=${folder},tag=mine,mode=max`, 'type=inline']);
  expect([...exports.stores]).toEqual([[`local:${folder}`, folder]]);
  noteCaches(exports, { 'cache.manifest': JSON.stringify(manifest('c')) });
  const found = cacheImports([`type=local,src=${folder},tag=mine`]);
  expect(found.entries).toEqual([{ Type: 'local', Attrs: { src: folder, tag: 'mine', digest: digest('c') } }]);
  expect([...found.stores.keys()]).toEqual([`local:${folder}`]);
});

test('caches: what is missing is named', () => {
  expect(() => cacheExports(['type=local'])).toThrow('--cache-to type=local requires dest');
  expect(() => cacheExports(['type=registry,mode=max'])).toThrow('--cache-to type=registry requires ref');
  expect(() => cacheImports(['type=local,x'])).toThrow('invalid value x');
  expect(() => cacheImports(['ref=x'])).toThrow('type required');
});

test('attestations: every way to ask for one, once', () => {
  const none = { attest: [], provenance: '', sbom: '' };
  expect(attestationOptions(none)).toEqual({});
  expect(attestationOptions({ ...none, provenance: 'mode=max', sbom: 'true' })).toEqual({
    'attest:provenance': 'mode=max',
    'attest:sbom': '',
  });
  expect(attestationOptions({ ...none, attest: ['type=sbom,generator=x', 'type=provenance,disabled=true'] })).toEqual({
    'attest:sbom': 'generator=x',
    'attest:provenance': 'disabled=true',
  });
  expect(attestationOptions({ ...none, provenance: 'false' })).toEqual({ 'attest:provenance': 'disabled=true' });
  expect(() => attestationOptions({ ...none, attest: ['type=sbom'], sbom: 'true' })).toThrow('duplicate attestation field sbom');
  expect(() => attestationOptions({ ...none, attest: ['mode=max'] })).toThrow('attestation type not specified');
});

test('named contexts: directories, images, layouts and addresses', () => {
  mkdirSync(join(folder, 'layout'));
  noteInLayout(join(folder, 'layout'), manifest('d'), ['1']);
  const { options, directories, stores, names } = parseNamedContexts([
    `files=${folder}`,
    `context=${folder}`,
    'alpine:latest=docker-image://busybox:1',
    'src=https://example.com/x.git#main',
    `base=oci-layout://${folder}/layout:1`,
  ]);
  expect(options).toEqual({
    'context:files': 'local:files',
    'context:context': 'local:_context',
    'context:alpine': 'docker-image://busybox:1',
    'context:src': 'https://example.com/x.git#main',
    'context:base': `oci-layout://layout-0:1@${digest('d')}`,
  });
  expect(Object.keys(directories)).toEqual(['files', '_context']);
  expect([...stores]).toEqual([['oci:layout-0', `${folder}/layout`]]);
  expect([...names]).toEqual(['files', 'context', 'alpine', 'src', 'base']);
});

test('named contexts: what is no context is refused', () => {
  writeFileSync(join(folder, 'file'), '');
  expect(() => parseNamedContexts(['x'])).toThrow('invalid context value: x, expected key=value');
  expect(() => parseNamedContexts(['x=/no/such'])).toThrow('failed to get build context /no/such: no such file or directory');
  expect(() => parseNamedContexts([`x=${folder}/file`])).toThrow('not a directory');
  expect(() => parseNamedContexts(['UP/../x=/'])).toThrow('invalid context name');
  expect(() => parseNamedContexts([`x=oci-layout://${folder}:none`])).toThrow('could not be resolved');
  expect(() => parseNamedContexts(['x=target:y'])).toThrow('bake files only');
});

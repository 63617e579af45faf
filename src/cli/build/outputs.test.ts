import { expect, test } from 'bun:test';
import { annotationAttributes } from './annotations.ts';
import { parseCall } from './call.ts';
import { parseOutputs } from './outputs.ts';

const outputs = (
  output: readonly string[],
  more: { push?: boolean; load?: boolean; tag?: readonly string[]; annotation?: readonly string[]; isTerminal?: boolean } = {},
) =>
  parseOutputs(
    { output, push: more.push ?? false, load: more.load ?? false, tag: more.tag ?? [], annotation: more.annotation ?? [] },
    more.isTerminal ?? false,
  );
const kept = { type: 'image', attributes: {}, destination: undefined };

test('parseOutputs() knows the short forms and the long', () => {
  expect(outputs([])).toEqual({ specs: [kept], isImage: true });
  expect(outputs(['/tmp/dir']).specs).toEqual([{ type: 'local', attributes: {}, destination: '/tmp/dir' }]);
  expect(outputs(['-'])).toEqual({ specs: [{ type: 'tar', attributes: {}, destination: '' }], isImage: false });
  expect(outputs(['/tmp/x.tar']).specs).toEqual([{ type: 'tar', attributes: {}, destination: '/tmp/x.tar' }]);
  expect(outputs(['type=tar,dest=/tmp/x.tar', 'type=docker,dest=-']).specs).toEqual([
    { type: 'tar', attributes: {}, destination: '/tmp/x.tar' },
    { type: 'docker', attributes: {}, destination: '' },
  ]);
  expect(outputs(['type=docker'], { load: true })).toEqual({ specs: [kept], isImage: true });
  expect(outputs(['type=cacheonly'])).toEqual({ specs: [], isImage: false });
});

test('parseOutputs() gives images their names, annotations and what else was said', () => {
  const oci = outputs(['type=oci,dest=/tmp/x,compression=zstd'], {
    tag: ['a', 'b:1'],
    annotation: ['k=v', 'index,manifest[linux/arm64]:x=y'],
  });
  expect(oci.specs[0]?.attributes).toEqual({
    name: 'a:latest,b:1',
    compression: 'zstd',
    'annotation.k': 'v',
    'annotation-index.x': 'y',
    'annotation-manifest[linux/arm64].x': 'y',
  });
  expect(outputs(['type=image,name=own:1'], { tag: ['a'] }).specs[0]?.attributes).toEqual({ name: 'own:1' });
});

test('parseOutputs() pushes', () => {
  const pushed = { type: 'image', attributes: { name: 'x:latest', push: 'true' }, destination: undefined };
  expect(outputs(['type=registry'], { tag: ['x'] }).specs).toEqual([pushed]);
  expect(outputs([], { tag: ['x'], push: true }).specs).toEqual([pushed]);
  expect(outputs(['type=local,dest=/tmp/x'], { tag: ['x'], push: true }).specs).toEqual([
    { type: 'local', attributes: {}, destination: '/tmp/x' },
    pushed,
  ]);
  expect(() => outputs([], { push: true })).toThrow('tag is needed when pushing to registry');
});

test('parseOutputs() refuses what cannot be', () => {
  expect(() => outputs(['dest=x'])).toThrow('type is required for output');
  expect(() => outputs(['type=local'])).toThrow('dest is required for local output');
  expect(() => outputs(['type=tar,dest=/no/such/place/x'])).toThrow('invalid output path');
  expect(() => outputs(['type=local,dest=/etc/passwd'])).toThrow('is a file: expected a directory');
  expect(() => outputs(['type=oci'], { isTerminal: true })).toThrow('dest file is required for oci exporter. refusing to write to console');
  expect(() => outputs(['type=oci,tar'])).toThrow('invalid value tar');
});

test('annotationAttributes() refuses what is none', () => {
  expect(() => annotationAttributes(['x'])).toThrow('invalid annotation "x", expected key=value');
  expect(() => annotationAttributes(['image:x=y'])).toThrow('unknown annotation type "image"');
  expect(() => annotationAttributes(['manifest[:x=y'])).toThrow('invalid annotation type "manifest["');
});

test('parseCall() knows methods and their options', () => {
  expect(parseCall('lint,format=json')).toEqual({ method: 'check', isJson: true, ignoresStatus: false });
  expect(parseCall('targets,ignorestatus=true')).toEqual({ method: 'targets', isJson: false, ignoresStatus: true });
  expect(() => parseCall('nothing')).toThrow('invalid call method "nothing": expected build, check, outline or targets');
  expect(() => parseCall('check,x=y')).toThrow('invalid value "x=y" of --call');
});

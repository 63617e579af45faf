import { expect, test } from 'bun:test';
import { parseCall } from './call.ts';
import { parseOutputs } from './outputs.ts';

const outputs = (output: readonly string[], more: { push?: boolean; load?: boolean; tag?: readonly string[] } = {}) =>
  parseOutputs({ output, push: more.push ?? false, load: more.load ?? false, tag: more.tag ?? ['x'], quiet: false });

test('parseOutputs() knows the short forms and the long', () => {
  expect(outputs([])).toEqual({ specs: [{ type: 'image', push: false }], isImage: true });
  expect(outputs(['/tmp/dir']).specs).toEqual([{ type: 'local', destination: '/tmp/dir' }]);
  expect(outputs(['-'])).toEqual({ specs: [{ type: 'tar', destination: '' }], isImage: false });
  expect(outputs(['type=tar,dest=/tmp/x.tar', 'type=docker,dest=-']).specs).toEqual([
    { type: 'tar', destination: '/tmp/x.tar' },
    { type: 'docker', destination: '' },
  ]);
  expect(outputs(['type=docker'], { load: true }).isImage).toBe(true);
  expect(outputs(['type=registry']).specs).toEqual([{ type: 'image', push: true }]);
  expect(outputs(['type=local,dest=/tmp/x'], { push: true }).specs).toEqual([
    { type: 'local', destination: '/tmp/x' },
    { type: 'image', push: true },
  ]);
});

test('parseOutputs() refuses what it does not know', () => {
  expect(() => outputs(['type=oci,dest=x'])).toThrow('output type "oci" is not supported');
  expect(() => outputs(['dest=x'])).toThrow('type is required for output');
  expect(() => outputs(['type=local'])).toThrow('dest is required for local output');
  expect(() => outputs([], { push: true, tag: [] })).toThrow('tag is needed when pushing to registry');
  expect(() => outputs(['type=tar,dest=/no/such/place/x'])).toThrow('does not exist');
});

test('parseCall() knows methods and their options', () => {
  expect(parseCall('lint,format=json')).toEqual({ method: 'check', isJson: true, ignoresStatus: false });
  expect(parseCall('targets,ignorestatus=true')).toEqual({ method: 'targets', isJson: false, ignoresStatus: true });
  expect(() => parseCall('nothing')).toThrow('invalid call method "nothing": expected build, check, outline or targets');
  expect(() => parseCall('check,x=y')).toThrow('invalid value "x=y" of --call');
});

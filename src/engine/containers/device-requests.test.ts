import { describe, expect, test } from 'bun:test';
import type { DeviceCatalogue } from '#core/device-catalogue.ts';
import { type ContainerEdits, parseCdiSpec } from '#oci/cdi.ts';
import type { RuntimeSpec } from '#oci/runtime-spec.ts';
import { applyEdits, requestedEdits } from './device-requests.ts';
import type { DeviceRequest } from './model.ts';
import { someHost } from './test-values.ts';

const editsOf = (containerEdits: object): ContainerEdits =>
  parseCdiSpec({ cdiVersion: '1.0.0', kind: 'v/c', devices: [{ name: 'd' }], containerEdits }).containerEdits;

const request = (more: Partial<DeviceRequest>): DeviceRequest => ({
  driver: '',
  count: 0,
  deviceIds: [],
  capabilities: [],
  options: {},
  ...more,
});

/** Knows these names; each has one variable of its name. */
function catalogue(...known: readonly string[]): DeviceCatalogue {
  return {
    dirs: [],
    names: () => [...known],
    resolve: names => ({
      edits: names.filter(name => known.includes(name)).map(name => editsOf({ env: [`DEVICE=${name}`] })),
      missing: names.filter(name => !known.includes(name)),
    }),
  };
}

const variables = (requests: readonly DeviceRequest[], from: DeviceCatalogue | undefined): readonly string[] =>
  requestedEdits(requests, from).flatMap(({ env }) => env);

describe('requestedEdits()', () => {
  test('devices by their names', () => {
    expect(variables([request({ driver: 'cdi', deviceIds: ['v/c=a', 'v/c=b'] })], catalogue('v/c=a', 'v/c=b'))).toEqual([
      'DEVICE=v/c=a',
      'DEVICE=v/c=b',
    ]);
    expect(() => variables([request({ driver: 'cdi', deviceIds: ['v/c=a', 'v/c=x', 'v/c=y'] })], catalogue('v/c=a'))).toThrow(
      'CDI device injection failed: unresolvable CDI devices v/c=x, v/c=y',
    );
  });

  test('GPUs: all, a number of them, certain ones', () => {
    const gpus = catalogue('nvidia.com/gpu=all', 'nvidia.com/gpu=0', 'nvidia.com/gpu=1');
    const gpu = { capabilities: [['gpu']] };
    expect(variables([request({ ...gpu, count: -1 })], gpus)).toEqual(['DEVICE=nvidia.com/gpu=all']);
    expect(variables([request({ ...gpu, count: 2 })], gpus)).toEqual(['DEVICE=nvidia.com/gpu=0', 'DEVICE=nvidia.com/gpu=1']);
    expect(variables([request({ ...gpu, driver: 'nvidia', deviceIds: ['1'] })], gpus)).toEqual(['DEVICE=nvidia.com/gpu=1']);
  });

  test('what nobody can serve', () => {
    const gpus = request({ driver: 'nvidia', count: 1, capabilities: [['gpu', 'compute'], ['tpu']] });
    expect(() => variables([gpus], catalogue('v/c=a'))).toThrow(
      'could not select device driver "nvidia" with capabilities: [[gpu compute] [tpu]]',
    );
    expect(() => variables([request({ driver: 'cdi', deviceIds: ['v/c=a'] })], undefined)).toThrow(
      'could not select device driver "cdi" with capabilities: []',
    );
  });
});

const bare: RuntimeSpec = {
  ociVersion: '1.0.2',
  process: { user: { uid: 0, gid: 0 }, args: ['true'], env: ['PATH=/bin', 'A=old'], cwd: '/' },
  root: { path: '/' },
  mounts: [],
  linux: { namespaces: [] },
};

describe('applyEdits()', () => {
  test('device nodes: what is not said is as on the host; the cgroup lets them be used', () => {
    const { linux } = applyEdits(
      bare,
      [
        editsOf({
          deviceNodes: [
            { path: '/dev/disk', hostPath: '/dev/sda', permissions: 'r' },
            { path: '/dev/made', type: 'c', major: 7, minor: 8 },
          ],
        }),
      ],
      someHost(),
    );
    expect(linux.devices).toEqual([
      { path: '/dev/disk', type: 'b', major: 8, minor: 0, fileMode: 0o660 },
      { path: '/dev/made', type: 'c', major: 7, minor: 8 },
    ]);
    expect(linux.resources?.devices).toEqual([
      { allow: true, type: 'b', access: 'r', major: 8, minor: 0 },
      { allow: true, type: 'c', access: 'rwm', major: 7, minor: 8 },
    ]);
    expect(() => applyEdits(bare, [editsOf({ deviceNodes: [{ path: '/dev/nope' }] })], someHost())).toThrow(
      'failed to stat CDI host device "/dev/nope"',
    );
  });

  test('a device belongs to the user of the container', () => {
    const spec = { ...bare, process: { ...bare.process, user: { uid: 7, gid: 8 } } };
    expect(applyEdits(spec, [editsOf({ deviceNodes: [{ path: '/dev/sda' }] })], someHost()).linux.devices?.[0]).toMatchObject({
      uid: 7,
      gid: 8,
    });
  });

  test('variables, groups, mounts, hooks', () => {
    const edited = applyEdits(
      bare,
      [
        editsOf({
          env: ['A=new', 'B=1'],
          additionalGids: [0, 5],
          mounts: [{ hostPath: '/lib/x', containerPath: '/usr/lib/x', options: ['ro', 'nosuid'] }],
          hooks: [{ hookName: 'createContainer', path: '/bin/hook', args: ['hook', 'x'], timeout: 3 }],
          intelRdt: { closID: 'x' },
        }),
      ],
      someHost(),
    );
    expect(edited.process.env).toEqual(['PATH=/bin', 'A=new', 'B=1']);
    expect(edited.process.user.additionalGids).toEqual([5]);
    expect(edited.mounts).toEqual([{ destination: '/usr/lib/x', source: '/lib/x', type: 'bind', options: ['ro', 'nosuid', 'rbind'] }]);
    expect(edited.hooks).toEqual({ createContainer: [{ path: '/bin/hook', args: ['hook', 'x'], timeout: 3 }] });
    expect(edited.linux.intelRdt).toEqual({ closID: 'x' });
  });

  test('in a user namespace devices are mounted', () => {
    const mapped = { ...bare, linux: { ...bare.linux, uidMappings: [] } };
    const { linux, mounts } = applyEdits(mapped, [editsOf({ deviceNodes: [{ path: '/dev/disk', hostPath: '/dev/sda' }] })], someHost());
    expect(linux.devices).toBeUndefined();
    expect(mounts[0]).toMatchObject({ destination: '/dev/disk', source: '/dev/sda', type: 'bind' });
  });
});

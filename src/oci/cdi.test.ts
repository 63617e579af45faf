import { describe, expect, test } from 'bun:test';
import { isQualifiedDevice, parseCdiSpec } from './cdi.ts';

const minimal = { cdiVersion: '0.6.0', kind: 'vendor.com/device', devices: [{ name: 'one', containerEdits: { env: ['A=1'] } }] };

describe('isQualifiedDevice()', () => {
  test.each(['vendor.com/device=one', 'v/c=0', 'nvidia.com/gpu=all', 'v.x-y_z/c=a:b.c-d'])('%s', name =>
    expect(isQualifiedDevice(name)).toBe(true),
  );
  test.each(['/dev/null', 'vendor.com/device', 'vendor.com=one', '9v/c=x', 'v/c=', 'v/c=-x', 'a/b/c=d', ''])('not %s', name =>
    expect(isQualifiedDevice(name)).toBe(false),
  );
});

describe('parseCdiSpec()', () => {
  test('fills in what is not said', () => {
    const spec = parseCdiSpec(minimal);
    const nothing = { deviceNodes: [], mounts: [], hooks: [], additionalGids: [], intelRdt: undefined };
    expect(spec.containerEdits).toEqual({ env: [], ...nothing });
    expect(spec.devices).toEqual([{ name: 'one', containerEdits: { env: ['A=1'], ...nothing } }]);
  });

  test.each([
    [{ ...minimal, cdiVersion: '9.0.0' }, 'unknown CDI version "9.0.0"'],
    [{ ...minimal, kind: 'nokind' }, 'invalid kind "nokind"'],
    [{ ...minimal, devices: [] }, 'no devices for vendor.com/device'],
    [{ ...minimal, devices: [{ name: '-x' }] }, 'invalid device name "-x"'],
    [{ ...minimal, devices: [minimal.devices[0], minimal.devices[0]] }, 'a device of vendor.com/device is named twice'],
    [{ ...minimal, containerEdits: { env: ['A'] } }, 'invalid environment variable "A"'],
    [{ ...minimal, containerEdits: { hooks: [{ hookName: 'never', path: '/x' }] } }, 'invalid hook name "never"'],
    [{ ...minimal, containerEdits: { deviceNodes: [{ path: '/x', type: 'z' }] } }, 'invalid device type "z"'],
    [{ ...minimal, containerEdits: { deviceNodes: [{ path: '/x', permissions: 'rq' }] } }, 'invalid device permissions "rq"'],
    [{ ...minimal, containerEdits: { mounts: [{ hostPath: '/x' }] } }, '"containerPath" must be a text that is not empty'],
    [{ ...minimal, containerEdits: { additionalGids: [-1] } }, '"additionalGids" must be a whole number'],
    ['text', 'a CDI spec must be an object'],
  ])('refuses %p', (value, message) => expect(() => parseCdiSpec(value)).toThrow(message));
});

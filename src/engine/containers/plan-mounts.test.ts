import { describe, expect, test } from 'bun:test';
import type { HostConfig, MountPoint, MountRequest } from './model.ts';
import { parseBind, parseVolumesFrom, planMounts } from './plan-mounts.ts';
import { aConfig, aHostConfig, aMount, aMountRequest } from './test-values.ts';

const plan = (hostConfig: Partial<HostConfig>, volumes: string[] = [], inherited: MountPoint[] = []) =>
  planMounts(aConfig({ volumes }), aHostConfig(hostConfig), inherited);
const planOne = (request: Partial<MountRequest>) => plan({ mounts: [aMountRequest(request)] })[0];

describe('binds', () => {
  test('a path of the host, a volume by name, one without', () => {
    expect(parseBind('/a/../b:/c', '')).toMatchObject({
      type: 'bind',
      source: '/b',
      destination: '/c',
      readWrite: true,
      copiesImage: false,
    });
    expect(parseBind('data:/c:ro', 'mine')).toMatchObject({
      type: 'volume',
      volumeName: 'data',
      driver: 'mine',
      readWrite: false,
      copiesImage: true,
    });
    expect(parseBind('/c', '')).toMatchObject({ type: 'volume', volumeName: undefined, destination: '/c' });
    expect(parseBind('data:/c:nocopy', '')).toMatchObject({ copiesImage: false });
    expect(parseBind('/a:/c:ro,z,rslave', '')).toMatchObject({ readWrite: false, propagation: 'rslave', mode: 'ro,z,rslave' });
  });

  const refusals: readonly [string, string][] = [
    ['', "invalid volume specification: ''"],
    [':/c', "invalid volume specification: ':/c'"],
    ['/a:', "invalid volume specification: '/a:'"],
    ['/a:ro', "invalid volume specification: '/a:ro'"],
    ['/a:/b:ro:x', "invalid volume specification: '/a:/b:ro:x'"],
    ['/a:/b:fast', 'invalid mode: fast'],
    ['/a:/b:ro,rw', 'invalid mode: ro,rw'],
    [
      '/a:b',
      `invalid volume specification: '/a:b': invalid mount config for type "bind": invalid mount path: 'b' mount path must be absolute`,
    ],
    ['/a:/', `invalid volume specification: '/a:/': invalid mount config for type "bind": invalid specification: destination can't be '/'`],
    [
      '/a:/x/..',
      `invalid volume specification: '/a:/x/..': invalid mount config for type "bind": invalid specification: destination can't be '/'`,
    ],
    [
      'data:/b:rshared',
      `invalid volume specification: 'data:/b:rshared': invalid mount config for type "volume": field BindOptions must not be specified`,
    ],
    [
      '/a:/b:nocopy',
      `invalid volume specification: '/a:/b:nocopy': invalid mount config for type "bind": field VolumeOptions must not be specified`,
    ],
  ];
  for (const [text, message] of refusals) test(`"${text}" is refused`, () => expect(() => parseBind(text, '')).toThrow(message));
});

describe('mounts', () => {
  const bindOptions = {
    propagation: '',
    nonRecursive: false,
    createMountpoint: false,
    readOnlyNonRecursive: false,
    readOnlyForceRecursive: false,
  };
  const volumeOptions = { noCopy: false, labels: {}, driverName: '', driverOptions: {}, subpath: '' };

  test('a bind must exist unless it is to be made', () => {
    expect(planOne({})).toMatchObject({ mustExist: true, recursiveReadOnly: true });
    expect(planOne({ bindOptions: { ...bindOptions, createMountpoint: true, readOnlyNonRecursive: true }, readOnly: true })).toMatchObject({
      mustExist: false,
      recursiveReadOnly: false,
      readWrite: false,
    });
  });

  test('a volume with labels, driver and a part of it', () => {
    const request = { type: 'volume', source: 'data', volumeOptions: { ...volumeOptions, labels: { a: 'b' }, subpath: 'x/y' } } as const;
    expect(planOne(request)).toMatchObject({ volumeName: 'data', labels: { a: 'b' }, subpath: 'x/y', copiesImage: false });
    expect(planOne({ type: 'volume', source: '', volumeOptions: { ...volumeOptions, noCopy: true } })).toMatchObject({
      volumeName: undefined,
      copiesImage: false,
    });
  });

  test('an image is read-only whatever is asked', () => {
    expect(planOne({ type: 'image', source: 'busybox', imageOptions: { subpath: 'etc' } })).toMatchObject({
      type: 'image',
      source: 'busybox',
      subpath: 'etc',
      readWrite: false,
    });
  });

  const refusals: readonly [string, Partial<MountRequest>, string][] = [
    ['no target', { target: '' }, 'invalid mount config for type "bind": field Target must not be empty'],
    ['no source', { source: '' }, 'invalid mount config for type "bind": field Source must not be empty'],
    ['relative source', { source: 'a' }, `invalid mount config for type "bind": invalid mount path: 'a' mount path must be absolute`],
    ['unknown type', { type: 'npipe' }, 'invalid mount config for type "npipe": mount type unknown: "npipe"'],
    ['volume options of a bind', { volumeOptions }, 'invalid mount config for type "bind": field VolumeOptions must not be specified'],
    [
      'bind options of a volume',
      { type: 'volume', bindOptions },
      'invalid mount config for type "volume": field BindOptions must not be specified',
    ],
    [
      'tmpfs options of a bind',
      { tmpfsOptions: { sizeBytes: 1, mode: 0, options: [] } },
      'invalid mount config for type "bind": field TmpfsOptions must not be specified',
    ],
    [
      'image options of a bind',
      { imageOptions: { subpath: '' } },
      'invalid mount config for type "bind": field ImageOptions must not be specified',
    ],
    ['source of a tmpfs', { type: 'tmpfs' }, 'invalid mount config for type "tmpfs": field Source must not be specified'],
    [
      'propagation',
      { bindOptions: { ...bindOptions, propagation: 'x' } },
      'invalid mount config for type "bind": invalid propagation mode: x',
    ],
    [
      'part of an anonymous volume',
      { type: 'volume', source: '', volumeOptions: { ...volumeOptions, subpath: 'x' } },
      'invalid mount config for type "volume": must not set Subpath when using anonymous volumes',
    ],
    [
      'part outside of a volume',
      { type: 'volume', source: 'v', volumeOptions: { ...volumeOptions, subpath: 'a/../../x' } },
      `invalid mount config for type "volume": invalid volume subpath 'a/../../x': it must stay inside the volume`,
    ],
    [
      'part outside of an image',
      { type: 'image', imageOptions: { subpath: '/etc' } },
      `invalid mount config for type "image": invalid image subpath '/etc': it must stay inside the image`,
    ],
  ];
  for (const [what, request, message] of refusals) test(`${what} is refused`, () => expect(() => planOne(request)).toThrow(message));
});

describe('together', () => {
  test('two mounts in one place are refused, in whatever way they were asked for', () => {
    expect(() => plan({ binds: ['/a:/x'], mounts: [aMountRequest({ target: '/x/' })] })).toThrow('Duplicate mount point: /x');
    expect(() => plan({ binds: ['/a:/x'], tmpfs: { '/x': '' } })).toThrow('Duplicate mount point: /x');
    expect(() => plan({ tmpfs: { x: '' } })).toThrow(`invalid mount path: 'x' mount path must be absolute`);
    expect(() => plan({ tmpfs: { '/x': 'loud' } })).toThrow('invalid tmpfs option ["loud"]');
  });

  test('what is asked for comes before what is taken over, that before the image’s; of two taken over the last counts', () => {
    const inherited = [
      aMount({ destination: '/a', source: '/first' }),
      aMount({ destination: '/b' }),
      aMount({ destination: '/a', source: '/last' }),
    ];
    const planned = plan({ binds: ['/mine:/b'] }, ['/a', '/b', '/c'], inherited);
    expect(planned.map(({ destination, source, type }) => [destination, source, type])).toEqual([
      ['/b', '/mine', 'bind'],
      ['/a', '/last', 'bind'],
      ['/c', '', 'volume'],
    ]);
  });

  test('a volume taken over is the same volume and is not filled again', () => {
    const [mount] = plan({}, [], [aMount({ type: 'volume', name: 'data', driver: 'local', readWrite: false })]);
    expect(mount).toMatchObject({ type: 'volume', volumeName: 'data', readWrite: false, copiesImage: false });
  });

  test('an image taken over is the same image', () => {
    const [mount] = plan({}, [], [aMount({ type: 'image', name: 'sha256:1', source: 'busybox', readWrite: false })]);
    expect(mount).toMatchObject({ type: 'image', source: 'sha256:1', readWrite: false });
  });
});

test('parseVolumesFrom()', () => {
  expect(parseVolumesFrom('db')).toEqual({ container: 'db', mode: '' });
  expect(parseVolumesFrom('db:ro')).toEqual({ container: 'db', mode: 'ro' });
  expect(() => parseVolumesFrom('')).toThrow('volumes-from specification cannot be an empty string');
  expect(() => parseVolumesFrom('db:fast')).toThrow('invalid mode: fast');
  expect(() => parseVolumesFrom('db:nocopy')).toThrow('invalid mode: nocopy');
});

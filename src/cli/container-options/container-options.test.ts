import { expect, test } from 'bun:test';
import { parseDevice, parseGpus, parseUlimit } from './devices.ts';
import { parseImageName } from './image-name.ts';
import { parseKeyValues } from './key-values.ts';
import { parseMount, parseVolumes } from './mounts.ts';
import { emptyAttachment, parseNetworkOption, resolveNetworks } from './networks.ts';
import { parsePublished } from './ports.ts';

test('parsePublished() reads ranges, addresses, protocols and the long form', () => {
  expect(parsePublished(['8080:80', '127.0.0.1::53/udp', '[::1]:9000-9001:90-91', 'published=1,target=2']).bindings).toEqual({
    '80/tcp': [{ HostIp: '', HostPort: '8080' }],
    '53/udp': [{ HostIp: '127.0.0.1', HostPort: '' }],
    '90/tcp': [{ HostIp: '::1', HostPort: '9000' }],
    '91/tcp': [{ HostIp: '::1', HostPort: '9001' }],
    '2/tcp': [{ HostIp: '', HostPort: '1' }],
  });
  expect(parsePublished(['8000-8010:80']).bindings['80/tcp']).toEqual([{ HostIp: '', HostPort: '8000-8010' }]);
  expect(() => parsePublished(['a'])).toThrow('invalid containerPort: a');
  expect(() => parsePublished(['1-2:1-5'])).toThrow('invalid ranges specified for container and host Ports: 1-5 and 1-2');
});

test('parseMount() reads every kind and refuses what does not belong together', () => {
  expect(parseMount('type=bind,src=/a,dst=/b,ro,bind-propagation=rslave')).toEqual({
    Type: 'bind',
    Source: '/a',
    Target: '/b',
    ReadOnly: true,
    BindOptions: { Propagation: 'rslave' },
  });
  expect(parseMount('type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1770')).toMatchObject({
    TmpfsOptions: { SizeBytes: 2 ** 20, Mode: 0o1770 },
  });
  expect(parseMount('source=v,target=/v,volume-opt=a=b,volume-nocopy')).toMatchObject({
    Type: 'volume',
    VolumeOptions: { NoCopy: true, DriverConfig: { Options: { a: 'b' } } },
  });
  expect(() => parseMount('type=bind,src=/x')).toThrow('target is required');
  expect(() => parseMount('type=bind,src=/x,dst=/y,tmpfs-size=1m')).toThrow("cannot mix 'tmpfs-*' options with mount type 'bind'");
  expect(() => parseMount('foo')).toThrow("invalid field 'foo' must be a key=value pair");
});

test('parseVolumes() tells binds from anonymous volumes', () => {
  expect(parseVolumes(['/data', 'v:/v:ro', './x:/x'])).toEqual({ anonymous: { '/data': {} }, binds: ['v:/v:ro', `${process.cwd()}/x:/x`] });
});

test('parseKeyValues() skips comments and takes bare names from the environment', () => {
  const text = '\uFEFF# comment\nA=1\n  B=x=y\n\nKNOWN\nUNKNOWN\r\n';
  expect(parseKeyValues(Buffer.from(text), name => (name === 'KNOWN' ? 'yes' : undefined))).toEqual(['A=1', 'B=x=y', 'KNOWN=yes']);
  expect(() => parseKeyValues(Buffer.from('A B=c'))).toThrow("variable 'A B' contains whitespaces");
  expect(() => parseKeyValues(Uint8Array.from([65, 61, 0xff]))).toThrow('invalid utf8 bytes at line 1');
});

test('devices, GPUs and limits', () => {
  expect(parseDevice('/dev/a:rw')).toEqual({ PathOnHost: '/dev/a', PathInContainer: '/dev/a', CgroupPermissions: 'rw' });
  expect(parseDevice('/dev/a:/dev/b:m')).toEqual({ PathOnHost: '/dev/a', PathInContainer: '/dev/b', CgroupPermissions: 'm' });
  expect(parseGpus('all')).toMatchObject({ Count: -1, Capabilities: [['gpu']] });
  expect(parseGpus('"device=0,1",driver=nvidia')).toMatchObject({ DeviceIDs: ['0', '1'], Driver: 'nvidia' });
  expect(parseUlimit('nofile=10:20')).toEqual({ Name: 'nofile', Soft: 10, Hard: 20 });
  expect(() => parseUlimit('nofile=20:10')).toThrow('ulimit soft limit must be less than or equal to hard limit: 20 > 10');
});

test('networks: long form, container options on the first, contradictions', () => {
  expect(parseNetworkOption('name=n,alias=a,ip=10.0.0.2')).toMatchObject({ target: 'n', aliases: ['a'], ipv4: '10.0.0.2' });
  const none = { aliases: [], links: [], ipv4: '', ipv6: '', linkLocal: [], mac: '' };
  expect(resolveNetworks([emptyAttachment('n')], { ...none, aliases: ['x'] })).toEqual({ mode: 'n', endpoints: { n: { Aliases: ['x'] } } });
  expect(resolveNetworks([], none)).toEqual({ mode: 'default', endpoints: {} });
  expect(() => resolveNetworks([emptyAttachment('n'), emptyAttachment('host')], none)).toThrow(
    'cannot attach both user-defined and non-user-defined',
  );
});

test('image names are made familiar', () => {
  expect(parseImageName('docker.io/library/busybox')).toEqual({ familiar: 'busybox:latest', repository: 'busybox', tag: 'latest' });
  expect(parseImageName('localhost:5000/a/b:1')).toEqual({ familiar: 'localhost:5000/a/b:1', repository: 'localhost:5000/a/b', tag: '1' });
  expect(() => parseImageName('A')).toThrow('invalid reference format: repository name (library/A) must be lowercase');
});

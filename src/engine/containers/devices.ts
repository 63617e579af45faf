import { invalidArgument, isErrno } from '#base/errors.ts';
import type { DeviceSpec, MountSpec, ResourcesSpec } from '#oci/runtime-spec.ts';
import type { DeviceMapping, HostConfig } from './model.ts';
import type { HostDevice } from '#core/machine.ts';
import type { HostFacts } from './ports.ts';

type DeviceRule = NonNullable<ResourcesSpec['devices']>[number];

/** The device nodes a container gets besides those every container has, and what its cgroup lets it do with devices. */
export interface ContainerDevices {
  readonly nodes: ContainerDevice[];
  readonly rules: DeviceRule[];
}

export interface ContainerDevice extends DeviceSpec {
  /** Where it is on the host. */
  readonly source: string;
}

const denyAll: DeviceRule = { allow: false, access: 'rwm' };
const character = (major: number, minor: number, allow = true): DeviceRule => ({ allow, type: 'c', major, minor, access: 'rwm' });

/** null, zero, full, random, urandom, tty, console; not fuse. The runtime adds ptmx and the terminals. */
const defaultRules: readonly DeviceRule[] = [
  denyAll,
  character(1, 3),
  character(1, 5),
  character(1, 7),
  character(1, 8),
  character(1, 9),
  character(5, 0),
  character(5, 1),
  character(10, 229, false),
];

/** Rejects with InvalidArgument for a device that is not there and for a rule that cannot be read. */
export function resolveDevices(config: HostConfig, host: HostFacts): ContainerDevices {
  const extra = config.deviceCgroupRules.map(parseDeviceRule);
  if (config.privileged) {
    const nodes = [
      ...host.devices('/dev').filter(isForPrivileged).map(toSpec),
      ...config.devices.flatMap(device => mapDevice(device, host).nodes),
    ];
    return { nodes, rules: [{ allow: true, access: 'rwm' }] };
  }
  const mapped = config.devices.map(device => mapDevice(device, host));
  return { nodes: mapped.flatMap(device => device.nodes), rules: [...defaultRules, ...mapped.flatMap(device => device.rules), ...extra] };
}

/** The runtime makes these itself, inside the container's own file systems. */
const isForPrivileged = (device: HostDevice): boolean => !/^\/dev\/(pts\/|shm\/|mqueue\/|console$|ptmx$)/.test(device.path);

function mapDevice(mapping: DeviceMapping, host: HostFacts): ContainerDevices {
  const access = mapping.cgroupPermissions === '' ? 'rwm' : mapping.cgroupPermissions;
  if (!/^[rwm]{1,3}$/.test(access))
    throw invalidArgument(`bad device specification: ${mapping.pathOnHost}: permissions must be of r, w and m, not "${access}"`);
  const found = findDevices(mapping.pathOnHost, host);
  const target = mapping.pathInContainer === '' ? mapping.pathOnHost : mapping.pathInContainer;
  return {
    nodes: found.map(device => ({ ...toSpec(device), path: target + device.path.slice(mapping.pathOnHost.length) })),
    rules: found.map(device => ({ allow: true, type: device.type, major: device.major, minor: device.minor, access })),
  };
}

function findDevices(path: string, host: HostFacts): HostDevice[] {
  const fail = (reason: string, cause?: unknown): Error =>
    invalidArgument(`error gathering device information while adding custom device "${path}": ${reason}`, { cause });
  let found: HostDevice[];
  try {
    found = host.devices(path);
  } catch (err) {
    throw isErrno(err, 'ENOENT', 'ENOTDIR') ? fail('no such file or directory', err) : err;
  }
  if (found.length === 0) throw fail('not a device node');
  return found;
}

const toSpec = (device: HostDevice): ContainerDevice => ({
  source: device.path,
  path: device.path,
  type: device.type,
  major: device.major,
  minor: device.minor,
  fileMode: device.fileMode,
  uid: device.uid,
  gid: device.gid,
});

/** Nodes as the runtime makes them. */
export const deviceSpecs = (nodes: readonly ContainerDevice[]): DeviceSpec[] => nodes.map(({ source: _, ...spec }) => spec);

/** Nodes for a user namespace, where none can be made: those of the host. */
export const deviceMounts = (nodes: readonly ContainerDevice[]): MountSpec[] =>
  nodes.map(({ source, path }) => ({ destination: path, type: 'bind', source, options: ['bind', 'rw', 'nosuid', 'noexec', 'rprivate'] }));

/** `c 10:200 rwm`, `a *:* m`. Rejects with InvalidArgument. */
export function parseDeviceRule(text: string): DeviceRule {
  const match = /^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$/.exec(text);
  const [, type = '', major = '', minor = '', access = ''] = match ?? [];
  if (match === null) throw invalidArgument(`invalid device cgroup rule format: '${text}'`);
  return {
    allow: true,
    type,
    ...(major === '*' ? {} : { major: Number(major) }),
    ...(minor === '*' ? {} : { minor: Number(minor) }),
    access,
  };
}

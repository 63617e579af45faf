import { lookup } from 'node:dns/promises';
import { chownSync, mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { isIP } from 'node:net';
import { failedPrecondition, invalidArgument, messageOf } from '#base/errors.ts';
import { parseBytes } from '#base/size.ts';
import type { Owner } from '#core/id-map.ts';
import type { VolumeDriver, VolumeSpec } from '#core/volume-driver.ts';
import { makeLimited, removeLimited } from '#host/quota/limited-directory.ts';
import { treeUsage } from '#host/snapshots/usage.ts';
import { SystemError } from '#host/sys/libc.ts';
import { mount, mountFlags, unmount } from '#host/sys/mount.ts';
import { readMounts } from '#host/sys/mountinfo.ts';
import { bindIgnores, parseMountOptions } from './mount-options.ts';

const known = ['type', 'o', 'device', 'size'];
const needs: Readonly<Record<string, readonly string[]>> = { device: ['type'], type: ['device'], o: ['device', 'type'] };

export interface LocalVolumes {
  readonly dir: string;
  /** Whom new volumes belong to: root of the containers. */
  readonly owner?: Owner;
}

/** Volumes as directories below one of the daemon's own, or as what is mounted there: a device, a tmpfs, a remote directory. */
export function createLocalVolumeDriver({ dir, owner = { uid: 0, gid: 0 } }: LocalVolumes): VolumeDriver {
  const path = (name: string): string => `${dir}/${name}/_data`;
  mkdirSync(dir, { recursive: true, mode: 0o701 });
  return {
    name: 'local',
    scope: 'local',
    check: checkOptions,
    describe: async ({ name }) => ({ path: path(name) }),
    async create({ name, options }) {
      mkdirSync(`${dir}/${name}`, { recursive: true, mode: 0o701 });
      if (options.size === undefined) mkdirSync(path(name), { recursive: true, mode: 0o755 });
      else makeLimited(path(name), parseSize(options.size));
      chownSync(path(name), owner.uid, owner.gid);
    },
    async mount(spec) {
      const target = path(spec.name);
      mkdirSync(target, { recursive: true, mode: 0o755 });
      if (isMountVolume(spec) && !isMounted(target)) await mountDevice(spec, target);
      return target;
    },
    async unmount(spec) {
      if (isMountVolume(spec) && isMounted(path(spec.name))) unmount(path(spec.name), { detach: true });
    },
    async remove(spec) {
      if (isMountVolume(spec) && isMounted(path(spec.name))) {
        throw failedPrecondition(`volume ${spec.name} is still mounted on ${path(spec.name)}: its files would be removed with it`);
      }
      if (spec.options.size !== undefined) await removeLimited(path(spec.name));
      await rm(`${dir}/${spec.name}`, { recursive: true, force: true });
    },
    usage: async spec => (isMountVolume(spec) ? undefined : (await treeUsage(path(spec.name))).diskBytes),
  };
}

const isMountVolume = ({ options }: VolumeSpec): boolean => (options.device ?? '') !== '';

const isMounted = (target: string): boolean => readMounts().some(mounted => mounted.target === target);

function checkOptions({ options }: VolumeSpec): void {
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) throw invalidArgument(`invalid option: "${key}"`);
    for (const needed of needs[key] ?? []) {
      if ((options[needed] ?? '') === '') throw invalidArgument(`missing required option: "${needed}"`);
    }
  }
  if (options.size === undefined) return;
  if (options.device !== undefined) throw invalidArgument('the option "size" is for volumes without a device: a tmpfs takes o=size=…');
  parseSize(options.size);
}

function parseSize(text: string): number {
  try {
    const sizeBytes = parseBytes(text);
    if (sizeBytes > 0) return sizeBytes;
  } catch (err) {
    throw invalidArgument(`invalid option size="${text}": ${messageOf(err)}`, { cause: err });
  }
  throw invalidArgument(`invalid option size="${text}": it must be more than nothing`);
}

async function mountDevice({ name, options }: VolumeSpec, target: string): Promise<void> {
  const { type = '', o = '', device = '' } = options;
  const { flags, propagation, data } = parseMountOptions(o);
  const resolved = await addressed(type, device, data);
  try {
    mount(device, target, type === 'none' ? '' : type, flags, resolved.join(','));
    const { bind, remount } = mountFlags;
    if ((flags & bind) !== 0n && (flags & bindIgnores) !== 0n) mount('none', target, '', bind | remount | (flags & bindIgnores));
    if (propagation !== 0n) mount('none', target, '', propagation);
  } catch (err) {
    unmount(target, { detach: true });
    if (!(err instanceof SystemError)) throw err;
    throw failedPrecondition(
      `error while mounting volume '${target}': failed to mount local volume ${name}: mount ${device}:${target}, type: ${type}, options: ${withoutPassword(o)}: ${reasons[err.code] ?? err.code}`,
      { cause: err },
    );
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ENODEV: 'no such device: this kernel does not know the file system type',
  EINVAL: 'invalid argument',
  EPERM: 'operation not permitted',
  EACCES: 'permission denied',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network is unreachable',
  EHOSTDOWN: 'host is down',
  ENXIO: 'no such device or address',
  ENOTBLK: 'not a block device',
  ETIMEDOUT: 'connection timed out',
  ECONNREFUSED: 'connection refused',
};

/** Nobody who may read an error has to know it. */
const withoutPassword = (options: string): string => options.replace(/\b(pass|password|password2)=[^,]*/g, '$1=********');

/** The kernel's network file systems take addresses only: mount(8) has helpers that ask for them. CIFS has its server in the device, `//server/share`. */
async function addressed(type: string, device: string, options: readonly string[]): Promise<string[]> {
  const server = type === 'cifs' ? /^[/\\]{2}([^/\\]+)[/\\]/.exec(device)?.[1] : undefined;
  const isSaid = options.some(option => /^(addr|ip)=/.test(option));
  const said = server === undefined || isSaid ? options : [...options, `addr=${server}`];
  return await Promise.all(said.map(resolveAddress));
}

async function resolveAddress(option: string): Promise<string> {
  const host = /^addr=(.+)$/.exec(option)?.[1];
  if (host === undefined || isIP(host) !== 0) return option;
  try {
    return `addr=${(await lookup(host)).address}`;
  } catch (err) {
    throw failedPrecondition(`error resolving the address of a volume's server: ${host}`, { cause: err });
  }
}

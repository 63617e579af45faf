import { invalidArgument } from '#base/errors.ts';

/** What a container gets when nothing is said. */
export const defaultCapabilities: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
];

/** Numbered as in linux/capability.h. */
const all: readonly string[] = [
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK',
  'IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE',
  'AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE',
].flatMap(line => line.split(' ').map(name => `CAP_${name}`));

export interface CapabilityRequest {
  readonly add: readonly string[];
  readonly drop: readonly string[];
  readonly privileged: boolean;
}

/**
 * What a container's processes may hold. `ALL` stands for everything the kernel knows. Rejects with InvalidArgument for a name that is no capability,
 * or one that this kernel lacks.
 */
export function resolveCapabilities(request: CapabilityRequest, known: readonly string[]): string[] {
  const add = request.add.map(name => parseCapability('CapAdd', name, known));
  const drop = new Set(request.drop.map(name => parseCapability('CapDrop', name, known)));
  if (request.privileged) return [...known];
  if (add.includes('ALL')) return known.filter(name => !drop.has(name));
  if (drop.has('ALL')) return [...new Set(add)];
  return [...new Set([...defaultCapabilities.filter(name => known.includes(name)), ...add])].filter(name => !drop.has(name));
}

function parseCapability(list: 'CapAdd' | 'CapDrop', text: string, known: readonly string[]): string {
  const upper = text.toUpperCase();
  if (upper === 'ALL') return upper;
  const name = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  if (!all.includes(name)) throw invalidArgument(`invalid ${list}: unknown capability: "${name}"`);
  if (!known.includes(name)) {
    throw invalidArgument(
      `invalid ${list}: capability not supported by your kernel or not available in the current environment: "${name}"`,
    );
  }
  return name;
}

import { invalidArgument } from '#base/errors.ts';

/** What an image was built for (OCI image spec, image-index.md, platform). Always in normal form: `aarch64` is written `arm64`. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

const architectures: Readonly<Record<string, readonly [architecture: string, variant?: string]>> = {
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  x64: ['amd64'],
  i386: ['386'],
  i486: ['386'],
  i586: ['386'],
  i686: ['386'],
  ia32: ['386'],
  aarch64: ['arm64'],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
  ppc64el: ['ppc64le'],
};
const knownOs = new Set(['linux', 'windows', 'darwin', 'freebsd', 'netbsd', 'openbsd', 'solaris', 'aix', 'android', 'wasi', 'wasip1']);
const knownArchitectures = new Set(
  'amd64 386 arm arm64 ppc64 ppc64le s390x riscv64 riscv loong64 mips mipsle mips64 mips64le wasm'.split(' '),
);

/** Brings the names in use for the same thing to one form: no variant where it is the architecture's default. */
export function normalizePlatform(platform: {
  readonly os?: string | undefined;
  readonly architecture?: string | undefined;
  readonly variant?: string | undefined;
}): Platform {
  const given = (platform.architecture ?? '').toLowerCase();
  const [architecture, implied] = (Object.hasOwn(architectures, given) ? architectures[given] : undefined) ?? [given];
  const variant = normalizeVariant(architecture, (platform.variant || implied || '').toLowerCase());
  const os = (platform.os ?? '').toLowerCase();
  return { os: os === 'macos' ? 'darwin' : os, architecture, ...(variant !== '' && { variant }) };
}

function normalizeVariant(architecture: string, variant: string): string {
  const named = /^\d+$/.test(variant) ? `v${variant}` : variant;
  if (architecture === 'arm64') return named === 'v8' ? '' : named;
  if (architecture === 'amd64') return named === 'v1' ? '' : named;
  if (architecture === 'arm') return named === '' ? 'v7' : named;
  return named;
}

/**
 * Reads `os/arch[/variant]`; one part alone is completed from `host`, the machine's platform. Rejects with InvalidArgument, naming the text and the rule.
 */
export function parsePlatform(text: string, host: Platform): Platform {
  const parts = text.split('/');
  const [first = '', second, variant] = parts;
  if (parts.length > 3 || parts.some(part => !/^[A-Za-z0-9_.-]+$/.test(part))) {
    throw invalidArgument(`invalid platform "${text}": expected os/arch[/variant], such as linux/arm64`);
  }
  if (second !== undefined) return normalizePlatform({ os: first, architecture: second, variant });
  const os = normalizePlatform({ os: first }).os;
  if (knownOs.has(os)) return { ...host, os };
  const alone = normalizePlatform({ os: host.os, architecture: first });
  if (knownArchitectures.has(alone.architecture)) return alone;
  throw invalidArgument(`invalid platform "${text}": unknown operating system or architecture`);
}

/** `linux/arm/v7` */
export const formatPlatform = (platform: Platform): string =>
  [platform.os, platform.architecture, platform.variant].filter(part => part !== undefined && part !== '').join('/');

/** The platform of this machine, from the runtime's own words for it. */
export const hostPlatform = (architecture: string = process.arch): Platform => normalizePlatform({ os: 'linux', architecture });

/** What a machine of this platform can run, best first: its own variant, then each older one, then the 32-bit form of its architecture. */
export function runnablePlatforms(platform: Platform): Platform[] {
  const { os, architecture } = platform;
  const upTo = (arch: string, newest: number, oldest: number): Platform[] => {
    const list: Platform[] = [];
    for (let version = newest; version >= oldest; version -= 1)
      list.push(normalizePlatform({ os, architecture: arch, variant: `v${version}` }));
    return list;
  };
  const version = Number(/^v(\d+)/.exec(platform.variant ?? '')?.[1] ?? Number.NaN);
  switch (architecture) {
    case 'amd64':
      return [...upTo('amd64', Number.isNaN(version) ? 1 : version, 1), { os, architecture: '386' }];
    case 'arm':
      return upTo('arm', Number.isNaN(version) ? 7 : version, 5);
    case 'arm64':
      return [platform, ...(platform.variant === undefined ? [] : [{ os, architecture }]), ...upTo('arm', 8, 5)];
    default:
      return platform.variant === undefined ? [platform] : [platform, { os, architecture }];
  }
}

const same = (a: Platform, b: Platform): boolean => a.os === b.os && a.architecture === b.architecture && a.variant === b.variant;

/** How well something built for `offered` runs on `wanted`: 0 is best; undefined: not at all. */
export function platformRank(wanted: Platform, offered: Platform): number | undefined {
  const rank = runnablePlatforms(wanted).findIndex(candidate => same(candidate, offered));
  return rank < 0 ? undefined : rank;
}

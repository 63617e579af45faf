import { splitCsv } from '#base/csv.ts';
import { invalidArgument } from '#base/errors.ts';
import type { Attributes } from '#api/buildkit/messages.ts';
import type { BuildRequest, Entitlement } from '#builder/request.ts';
import { type Platform, parsePlatform, hostPlatform } from '#oci/platform.ts';

/** What the options of the Dockerfile frontend say of a build, apart from where its files are and whom it belongs to. */
export type FrontendOptions = Pick<
  BuildRequest,
  'target' | 'buildArgs' | 'labels' | 'noCache' | 'pull' | 'network' | 'limits' | 'hostname' | 'entitlements'
> & {
  /** What to build for; empty: this machine. */
  readonly platforms: readonly Platform[];
  /** The result is an index even for one platform. */
  readonly isMultiPlatform: boolean;
};

/** Rejects with InvalidArgument for what cannot be. */
export function frontendOptions(options: Attributes, entitlements: readonly string[]): FrontendOptions {
  const text = (name: string): string => options[name] ?? '';
  const network = text('force-network-mode');
  const noCache = options['no-cache'];
  const platforms = listOf(text('platform')).map(platform => parsePlatform(platform, hostPlatform()));
  return {
    target: text('target'),
    buildArgs: new Map(withPrefix(options, 'build-arg:')),
    labels: Object.fromEntries(withPrefix(options, 'label:')),
    noCache: noCache === '' ? 'all' : new Set(listOf(noCache ?? '').map(stage => stage.toLowerCase())),
    pull: text('image-resolve-mode') === 'pull',
    network: network === '' ? 'default' : network,
    limits: {
      memoryBytes: integer(options, 'memory'),
      memorySwapBytes: integer(options, 'memswap'),
      cpuShares: integer(options, 'cpushares'),
      cpuPeriod: integer(options, 'cpuperiod'),
      cpuQuota: integer(options, 'cpuquota'),
      cpusetCpus: text('cpusetcpus'),
      cpusetMems: text('cpusetmems'),
      cgroupParent: text('cgroup-parent'),
      shmSizeBytes: integer(options, 'shm-size'),
      ulimits: listOf(text('ulimit')).map(ulimit),
      extraHosts: listOf(text('add-hosts')).map(host => host.replace('=', ':')),
    },
    hostname: text('build-arg:BUILDKIT_SANDBOX_HOSTNAME') || text('hostname') || 'buildkitsandbox',
    entitlements: entitlementsOf(entitlements),
    platforms,
    isMultiPlatform: platforms.length > 1 || isTrue(text('multi-platform')),
  };
}

export const isTrue = (text: string): boolean => /^(1|t|true)$/i.test(text);

const listOf = (text: string): string[] => (text === '' ? [] : splitCsv(text).map(each => each.trim()));

/** The options that begin with a prefix, without it. */
export const withPrefix = (options: Attributes, prefix: string): [name: string, value: string][] =>
  Object.entries(options).flatMap(([name, value]) =>
    name.startsWith(prefix) ? [[name.slice(prefix.length), value] as [string, string]] : [],
  );

function integer(options: Attributes, name: string): number {
  const text = options[name] ?? '';
  if (text === '') return 0;
  if (!/^-?\d+$/.test(text)) throw invalidArgument(`invalid ${name} ${JSON.stringify(text)}: expected a number`);
  return Number(text);
}

function ulimit(text: string): BuildRequest['limits']['ulimits'][number] {
  const [, name, soft, hard = soft] = /^([a-z]+)=(-?\d+)(?::(-?\d+))?$/.exec(text) ?? [];
  if (name === undefined) throw invalidArgument(`invalid ulimit ${JSON.stringify(text)}: expected name=soft[:hard]`);
  return { name, soft: Number(soft), hard: Number(hard) };
}

/** Rejects with InvalidArgument for one that is not known. */
export const entitlementsOf = (texts: readonly string[]): ReadonlySet<Entitlement> => new Set(texts.map(entitlement));

function entitlement(text: string): Entitlement {
  if (text === 'network.host' || text === 'security.insecure' || text === 'device') return text;
  if (text.startsWith('device=')) return 'device';
  throw invalidArgument(`unknown entitlement ${JSON.stringify(text)}: expected network.host, security.insecure or device`);
}

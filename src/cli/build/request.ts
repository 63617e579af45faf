import { parseBytes } from '#base/size.ts';
import { splitCsv } from '#base/csv.ts';
import { messageOf } from '#base/errors.ts';
import type { Query } from '#client/connection.ts';
import type { Cli } from '../cli.ts';
import { proxyEnvironment } from '../config/proxies.ts';
import { parseImageName } from '../container-options/image-name.ts';
import { checkPlatform } from '../container-options/platform.ts';
import { ExitError } from '../errors.ts';
import { cut } from '../flags/flag.ts';
import { imagesOfCaches } from './caches.ts';
import type { BuildFlags } from './flags.ts';
import type { Outputs } from './outputs.ts';

/** The values of `ARG`s, null for one that is only named and has no value here; with the proxies of the settings, and SOURCE_DATE_EPOCH. */
export async function buildArguments(cli: Cli, given: readonly string[], daemonHost: string): Promise<Record<string, string | null>> {
  const args: Record<string, string | null> = {};
  for (const entry of given) {
    const [name, value = process.env[name] ?? null] = cut(entry);
    if (name === '') throw new ExitError(1, `invalid build argument ${JSON.stringify(entry)}: write name=value`);
    args[name] = value;
  }
  // Times of a result that is to be the same on another day.
  const epoch = process.env.SOURCE_DATE_EPOCH ?? '';
  if (epoch !== '' && !Object.hasOwn(args, 'SOURCE_DATE_EPOCH')) args.SOURCE_DATE_EPOCH = epoch;
  for (const entry of proxyEnvironment(await cli.config(), daemonHost, [])) {
    const [name, value = ''] = cut(entry);
    if (!Object.hasOwn(args, name)) args[name] = value;
  }
  return args;
}

const entitlement = /^(?:network\.host|security\.insecure|device(?:=.*)?)$/;

/** Refuses what cannot be done, naming the flag. */
export function checkBuildFlags(flags: BuildFlags): void {
  for (const tag of flags.tag) checkTag(tag);
  for (const platform of flags.platform) checkPlatform(platform);
  for (const allowed of flags.allow) {
    if (!entitlement.test(allowed))
      throw new ExitError(1, `invalid entitlement: ${allowed}: expected network.host, security.insecure or device[=name]`);
  }
  if (flags['no-cache'] && flags['no-cache-filter'].length > 0)
    throw new ExitError(1, 'ERROR: --no-cache and --no-cache-filter cannot currently be used together');
  if (flags.quiet && !['auto', 'quiet'].includes(flags.progress))
    throw new ExitError(1, `ERROR: progress=${flags.progress} and quiet cannot be used together`);
  if (flags.policy.length > 0) throw new ExitError(1, 'ERROR: --policy is not supported: policies of sources are not evaluated');
}

function checkTag(tag: string): void {
  let reason = 'invalid reference format';
  try {
    if (parseImageName(tag) !== undefined && !tag.includes('@')) return;
  } catch (err) {
    if (/must be lowercase/.test(messageOf(err))) reason = 'repository name must be lowercase';
  }
  throw new ExitError(1, `ERROR: failed to build: invalid tag ${JSON.stringify(tag)}: ${reason}`);
}

/** What is to be built for, as the frontend reads it. */
export function platformsOf({ platform }: Pick<BuildFlags, 'platform'>): string[] {
  const given = platform.length > 0 ? platform : (process.env.DOCKER_DEFAULT_PLATFORM ?? '').split(',').filter(each => each !== '');
  return given.map(each => each.toLowerCase());
}

/** The first flag that `POST /build` has no place for. */
export function flagOnlyForBuildKit(flags: BuildFlags, { specs }: Outputs): string | undefined {
  const lists = ['allow', 'annotation', 'attest', 'build-context', 'cache-to', 'no-cache-filter', 'secret', 'ssh'] as const;
  const isAsked = (value: string): boolean => value !== '' && !/^(?:0|f|false)$/i.test(value);
  const found =
    lists.find(name => flags[name].length > 0) ??
    (['provenance', 'sbom'] as const).find(name => isAsked(flags[name])) ??
    (flags['cache-from'].some(entry => entry.includes('=')) ? 'cache-from' : undefined);
  if (found !== undefined) return `--${found}`;
  if (platformsOf(flags).length > 1) return '--platform with several platforms';
  const other = specs.find(({ type }) => !['image', 'docker', 'tar', 'local'].includes(type));
  return other && `--output type=${other.type}`;
}

/** The parameters of `POST /build`. */
export function buildQuery(
  flags: BuildFlags,
  {
    dockerfileName,
    buildArgs,
    tags,
  }: { dockerfileName: string | undefined; buildArgs: Record<string, string | null>; tags: readonly string[] },
): Query {
  const text = (value: string): string | undefined => (value === '' ? undefined : value);
  const number = (value: number): number | undefined => (value === 0 ? undefined : value);
  const json = (value: object): string | undefined => (Object.keys(value).length === 0 ? undefined : JSON.stringify(value));
  const limits = limitsOfFlags(flags);
  return {
    version: '1',
    dockerfile: dockerfileName,
    t: tags,
    q: flags.quiet ? true : undefined,
    nocache: flags['no-cache'] ? true : undefined,
    pull: flags.pull ? true : undefined,
    rm: flags.rm ? undefined : false,
    forcerm: flags['force-rm'] ? true : undefined,
    squash: flags.squash ? true : undefined,
    buildargs: json(buildArgs),
    labels: json(Object.fromEntries(flags.label.map(entry => [cut(entry)[0], cut(entry)[1] ?? '']))),
    cachefrom: json(imagesOfCaches(flags['cache-from'])),
    target: text(flags.target),
    platform: text(platformsOf(flags)[0] ?? ''),
    networkmode: flags.network === 'default' ? undefined : text(flags.network),
    extrahosts: flags['add-host'],
    ulimits: json(flags.ulimit),
    securityopt: flags['security-opt'],
    isolation: flags.isolation === 'default' ? undefined : text(flags.isolation),
    shmsize: number(flags['shm-size']),
    cgroupparent: text(flags['cgroup-parent']),
    memory: number(limits.memory),
    memswap: number(limits['memory-swap']),
    cpushares: number(limits['cpu-shares']),
    cpuperiod: number(limits['cpu-period']),
    cpuquota: number(limits['cpu-quota']),
    cpusetcpus: text(limits['cpuset-cpus']),
    cpusetmems: text(limits['cpuset-mems']),
  };
}

/** Limits of the steps: flags of their own, and `--resource`. */
export const limitsOfFlags = (flags: BuildFlags): ReturnType<typeof limitsOf> => ({ ...limitsOf(flags), ...resourcesOf(flags.resource) });

const limitsOf = (flags: BuildFlags) => ({
  memory: flags.memory,
  'memory-swap': flags['memory-swap'],
  'cpu-shares': flags['cpu-shares'],
  'cpu-period': flags['cpu-period'],
  'cpu-quota': flags['cpu-quota'],
  'cpuset-cpus': flags['cpuset-cpus'],
  'cpuset-mems': flags['cpuset-mems'],
});

/** `--resource memory=2g,cpu-quota=50000`. */
function resourcesOf(given: readonly string[]): Partial<ReturnType<typeof limitsOf>> {
  const limits: Record<string, number | string> = {};
  for (const [key, value] of given.flatMap(splitCsv).map(entry => cut(entry))) {
    if (value === undefined) throw new ExitError(1, `invalid resource ${JSON.stringify(key)}: write key=value`);
    if (key === 'cpuset-cpus' || key === 'cpuset-mems') limits[key] = value;
    else if (key === 'memory' || key === 'memory-swap') limits[key] = value === '-1' ? -1 : parseBytes(value);
    else if (key === 'cpu-shares' || key === 'cpu-period' || key === 'cpu-quota') limits[key] = wholeNumber(key, value);
    else throw new ExitError(1, `unknown resource ${JSON.stringify(key)}: expected one of ${Object.keys(resourceKeys).join(', ')}`);
  }
  return limits;
}

const resourceKeys = limitsOf({} as BuildFlags);

function wholeNumber(key: string, value: string): number {
  if (!/^-?\d+$/.test(value)) throw new ExitError(1, `invalid value ${JSON.stringify(value)} of resource ${key}: expected a whole number`);
  return Number(value);
}

import { parseBytes } from '#base/size.ts';
import { splitCsv } from '#base/csv.ts';
import type { Query } from '#client/connection.ts';
import type { Cli } from '../cli.ts';
import { proxyEnvironment } from '../config/proxies.ts';
import { parseImageName } from '../container-options/image-name.ts';
import { checkPlatform } from '../container-options/platform.ts';
import { ExitError } from '../errors.ts';
import { cut, type FlagValues } from '../flags/flag.ts';
import type { buildFlags } from './flags.ts';

export type BuildFlags = FlagValues<typeof buildFlags>;

/** The values of `ARG`s, null for one that is only named and has no value here; with the proxies of the settings. */
export async function buildArguments(cli: Cli, given: readonly string[], daemonHost: string): Promise<Record<string, string | null>> {
  const args: Record<string, string | null> = {};
  for (const entry of given) {
    const [name, value = process.env[name] ?? null] = cut(entry);
    if (name === '') throw new ExitError(1, `invalid build argument ${JSON.stringify(entry)}: write name=value`);
    args[name] = value;
  }
  for (const entry of proxyEnvironment(await cli.config(), daemonHost, [])) {
    const [name, value = ''] = cut(entry);
    if (!Object.hasOwn(args, name)) args[name] = value;
  }
  return args;
}

/** Flags for what `POST /build` has no place for. */
const withoutPlace = ['allow', 'annotation', 'attest', 'build-context', 'cache-to', 'no-cache-filter'] as const;

/** Refuses what cannot be done, naming the flag. */
export function checkBuildFlags(flags: BuildFlags): void {
  for (const name of withoutPlace) {
    if (flags[name].length > 0) throw notPossible(`--${name}`);
  }
  for (const name of ['provenance', 'sbom'] as const) {
    if (flags[name] !== '' && flags[name] !== 'false') throw notPossible(`--${name}`);
  }
  if (flags.platform.length > 1) throw notPossible('--platform with several platforms');
  for (const tag of flags.tag) {
    const name = parseImageName(tag);
    if (name === undefined || tag.includes('@')) throw new ExitError(1, `invalid tag ${JSON.stringify(tag)}: invalid reference format`);
  }
  for (const platform of flags.platform) checkPlatform(platform);
}

const notPossible = (what: string): ExitError =>
  new ExitError(1, `ERROR: failed to build: ${what} is not supported: this command builds with POST /build, which has no place for it`);

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
  const limits = { ...limitsOf(flags), ...resourcesOf(flags.resource) };
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
    cachefrom: json(flags['cache-from']),
    target: text(flags.target),
    platform: text((flags.platform[0] ?? process.env.DOCKER_DEFAULT_PLATFORM ?? '').toLowerCase()),
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

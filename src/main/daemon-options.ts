import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { invalidArgument } from '#base/errors.ts';
import { parseDuration } from '#base/duration.ts';
import { formatIp, formatPrefix, parseCidr, parseIp } from '#base/ip.ts';
import { logLevels, type LogLevel } from '#base/log.ts';
import type { RuntimeBinary } from '#core/runtime.ts';
import { parseMirror } from '#host/registry/endpoints.ts';
import { type StorageDriver, storageDrivers } from '#host/snapshots/drivers.ts';
import { type ConfigValues, readConfigFile } from './daemon-config-file.ts';
import type { DaemonFlags } from './daemon-flags.ts';
import type { DiskShare } from './disk-share.ts';
import { type Setting, settings } from './daemon-settings.ts';

/** What the operator decided: flags and configuration file together, defaults applied. Sizes in bytes, times in seconds. */
export interface DaemonOptions {
  readonly hosts: readonly string[];
  readonly tls: { readonly enabled: boolean; readonly verify: boolean; readonly ca: string; readonly cert: string; readonly key: string };
  /** TCP without TLS gives root on this machine to whoever can connect; the operator has to say so. */
  readonly allowInsecureTcp: boolean;
  readonly dataRoot: string;
  readonly execRoot: string;
  readonly pidfile: string;
  readonly configFile: string;
  readonly debug: boolean;
  readonly logLevel: LogLevel;
  readonly logFormat: 'text' | 'json';
  readonly group: string | undefined;
  readonly bridge: string | undefined;
  readonly bip: string | undefined;
  readonly fixedCidr: string | undefined;
  readonly ipv6: boolean;
  readonly bip6: string | undefined;
  readonly fixedCidrV6: string | undefined;
  readonly defaultGateway: string | undefined;
  readonly defaultGatewayV6: string | undefined;
  /** Options of new networks by driver. */
  readonly defaultNetworkOptions: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly allowDirectRouting: boolean;
  readonly hostFirewall: boolean;
  readonly hostGatewayIps: readonly string[];
  readonly mtu: number | undefined;
  readonly icc: boolean;
  readonly ip: string;
  readonly ipForward: boolean;
  readonly ipMasq: boolean;
  readonly defaultAddressPools: readonly { readonly base: string; readonly size: number }[];
  readonly dns: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly defaultRuntime: string | undefined;
  readonly runtimes: readonly RuntimeBinary[];
  /** Undefined: the one that the data root has, or the first that works there. */
  readonly storageDriver: StorageDriver | undefined;
  /** What a container may write that names no limit, for each storage driver. */
  readonly storageSizes: Partial<Readonly<Record<StorageDriver, number>>>;
  /** How much the build cache may keep: bytes, `default` for a tenth of the disk, `all` when it is never cleaned up. */
  readonly buildCacheKeeps: number | 'default' | 'all';
  /** What may be collected, and when; `total` undefined: nothing for want of room. */
  readonly diskBudget: {
    readonly total: DiskShare | undefined;
    readonly images: 'untagged' | 'pulled' | 'unused';
    readonly blobsUnusedForMs: number | undefined;
  };
  readonly init: boolean;
  readonly initPath: string | undefined;
  readonly cgroupParent: string | undefined;
  /** 0: none. */
  readonly cpuRealtimePeriodUs: number;
  readonly cpuRealtimeRuntimeUs: number;
  readonly defaultCgroupnsMode: 'private' | 'host';
  readonly defaultIpcMode: 'private' | 'shareable';
  readonly defaultShmSizeBytes: number;
  readonly defaultStopTimeoutSeconds: number;
  readonly defaultUlimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly noNewPrivileges: boolean;
  readonly seccompProfile: string;
  /** Undefined: devices are not looked up in descriptions. */
  readonly cdiSpecDirs: readonly string[] | undefined;
  /** As given; undefined: containers have the ids of the host. */
  readonly usernsRemap: string | undefined;
  /** Set by the operator; those of the environment come after. */
  readonly proxies: { readonly http: string; readonly https: string; readonly none: string };
  readonly registryMirrors: readonly string[];
  readonly insecureRegistries: readonly string[];
  readonly maxConcurrentDownloads: number;
  readonly maxConcurrentUploads: number;
  readonly maxDownloadAttempts: number;
  /** Uncompressed; undefined: layers of any size are taken. */
  readonly maxLayerBytes: number | undefined;
  readonly logDriver: string;
  readonly logOpts: Readonly<Record<string, string>>;
  readonly labels: readonly string[];
  readonly shutdownTimeoutSeconds: number;
  readonly experimental: boolean;
  /** Settings that were given but change nothing here, with the reason. */
  readonly ignored: readonly { readonly name: string; readonly why: string }[];
  /** What was asked for; undefined: nothing was. */
  readonly cgroupDriver: 'cgroupfs' | 'systemd' | undefined;
}

type Value = readonly unknown[] | Readonly<Record<string, unknown>>;

/** Merges flags and configuration file. A setting given in both is refused: neither place alone would tell the truth. */
export function resolveDaemonOptions(flags: DaemonFlags): DaemonOptions {
  const configFlag = flags.values.get(settingOf('config-file'))?.at(-1);
  const configFile = configFlag ?? '/etc/berth/daemon.json';
  const config = readConfigFile(configFile, configFlag !== undefined);
  refuseDoubles(flags, config, configFile);
  const given = new Map<Setting, Value>([...config, ...flags.values]);
  const values = (flag: string): string[] => listOf(given.get(settingOf(flag)));
  const text = (flag: string): string | undefined => values(flag).at(-1);
  const bool = (flag: string, fallback: boolean): boolean => (text(flag) ?? String(fallback)) === 'true';
  const int = (flag: string, fallback: number, least = 0): number => atLeast(least, `--${flag}`, Number(text(flag) ?? fallback));

  const certDir = process.env.DOCKER_CERT_PATH ?? join(homedir(), '.docker');
  const tlsVerify = bool('tlsverify', false);
  return {
    hosts: hostsOf(values('host')),
    tls: {
      enabled: tlsVerify || bool('tls', false),
      verify: tlsVerify,
      ca: text('tlscacert') ?? join(certDir, 'ca.pem'),
      cert: text('tlscert') ?? join(certDir, 'cert.pem'),
      key: text('tlskey') ?? join(certDir, 'key.pem'),
    },
    allowInsecureTcp: bool('allow-insecure-tcp', false),
    dataRoot: resolve(text('data-root') ?? '/var/lib/berth'),
    execRoot: resolve(text('exec-root') ?? '/run/berth'),
    pidfile: resolve(text('pidfile') ?? '/run/berth.pid'),
    configFile,
    storageDriver: storageDriverOf(text('storage-driver') ?? ''),
    storageSizes: storageSizesOf(values('storage-opt')),
    debug: bool('debug', false),
    logLevel: oneOf('--log-level', text('log-level') ?? 'info', logLevels),
    logFormat: oneOf('--log-format', text('log-format') ?? 'text', ['text', 'json']),
    group: text('group'),
    bridge: text('bridge'),
    bip: text('bip'),
    fixedCidr: text('fixed-cidr'),
    ipv6: bool('ipv6', false),
    bip6: text('bip6'),
    fixedCidrV6: text('fixed-cidr-v6'),
    defaultGateway: address('--default-gateway', text('default-gateway'), 4),
    defaultGatewayV6: address('--default-gateway-v6', text('default-gateway-v6'), 6),
    defaultNetworkOptions: defaultNetworkOptions(given.get(settingOf('default-network-opt'))),
    allowDirectRouting: bool('allow-direct-routing', false),
    hostFirewall: bool('host-firewall', false),
    hostGatewayIps: values('host-gateway-ip').flatMap(one => address('--host-gateway-ip', one) ?? []),
    mtu: text('mtu') === undefined ? undefined : int('mtu', 1500, 68),
    icc: bool('icc', true),
    ip: text('ip') ?? '0.0.0.0',
    ipForward: bool('ip-forward', true),
    ipMasq: bool('ip-masq', true),
    defaultAddressPools: values('default-address-pool').map(parsePool),
    dns: values('dns'),
    dnsOptions: values('dns-opt'),
    dnsSearch: values('dns-search'),
    defaultRuntime: text('default-runtime'),
    runtimes: runtimesOf(given.get(settingOf('add-runtime'))),
    buildCacheKeeps: buildCacheKeeps([...given].find(([setting]) => setting.key === 'builder')?.[1]),
    diskBudget: {
      total: diskShare('--disk-budget', text('disk-budget') ?? ''),
      images: oneOf('--disk-budget-images', text('disk-budget-images') ?? 'untagged', ['untagged', 'pulled', 'unused']),
      blobsUnusedForMs: timeOrNever('--layer-blobs-unused-for', text('layer-blobs-unused-for') ?? '168h'),
    },
    init: bool('init', false),
    initPath: text('init-path'),
    cgroupParent: text('cgroup-parent'),
    cpuRealtimePeriodUs: int('cpu-rt-period', 0),
    cpuRealtimeRuntimeUs: int('cpu-rt-runtime', 0),
    defaultCgroupnsMode: oneOf('--default-cgroupns-mode', text('default-cgroupns-mode') ?? 'private', ['private', 'host']),
    defaultIpcMode: oneOf('--default-ipc-mode', text('default-ipc-mode') ?? 'private', ['private', 'shareable']),
    defaultShmSizeBytes: parseSize('--default-shm-size', text('default-shm-size') ?? '64MiB'),
    defaultStopTimeoutSeconds: int('default-stop-timeout', 10, -1),
    defaultUlimits: ulimitsOf(given.get(settingOf('default-ulimit'))),
    noNewPrivileges: bool('no-new-privileges', false),
    seccompProfile: text('seccomp-profile') ?? 'builtin',
    cdiSpecDirs: cdiSpecDirs(values('cdi-spec-dir'), given.get(settingOf('cdi-spec-dir')) !== undefined, given.get(settingOf('features'))),
    usernsRemap: (text('userns-remap') ?? '') === '' ? undefined : text('userns-remap'),
    proxies: proxiesOf(text, values('proxies')),
    registryMirrors: values('registry-mirror').map(checkMirror),
    insecureRegistries: values('insecure-registry'),
    maxConcurrentDownloads: int('max-concurrent-downloads', 3, 1),
    maxConcurrentUploads: int('max-concurrent-uploads', 5, 1),
    maxDownloadAttempts: int('max-download-attempts', 5, 1),
    maxLayerBytes: parseSize('--max-layer-size', text('max-layer-size') ?? '0') || undefined,
    logDriver: text('log-driver') ?? 'json-file',
    logOpts: Object.fromEntries(values('log-opt').map(pair => splitPair('--log-opt', pair))),
    labels: values('label').map(label => (splitPair('--label', label), label)),
    shutdownTimeoutSeconds: int('shutdown-timeout', 15, -1),
    experimental: bool('experimental', false),
    ignored: [...given.keys()].flatMap(one =>
      one.accepted === undefined ? [] : [{ name: one.flag ?? String(one.key), why: one.accepted }],
    ),
    cgroupDriver: cgroupDriver(values('exec-opt')),
  };
}

/** `overlay` is what overlay2 was called before there was a second version. */
function storageDriverOf(name: string): StorageDriver | undefined {
  return name === '' ? undefined : oneOf('--storage-driver', name === 'overlay' ? 'overlay2' : name, storageDrivers);
}

function cgroupDriver(options: readonly string[]): DaemonOptions['cgroupDriver'] {
  const driver = options
    .map(option => splitPair('--exec-opt', option))
    .filter(([name]) => name === 'native.cgroupdriver')
    .at(-1)?.[1];
  if (driver === undefined || driver === '' || driver === 'cgroupfs' || driver === 'systemd') {
    return driver === '' ? undefined : driver;
  }
  throw invalidArgument(`native.cgroupdriver option ${driver} not supported`);
}

/** Options of Docker's drivers that say how they are to check or share are read and change nothing: there is one way here. */
const withoutEffect = ['overlay2.override_kernel_check', 'btrfs.min_space'];

function storageSizesOf(pairs: readonly string[]): DaemonOptions['storageSizes'] {
  const sizes: Partial<Record<StorageDriver, number>> = {};
  for (const pair of pairs) {
    const [name, value] = splitPair('--storage-opt', pair);
    const driver = storageDrivers.find(one => name === `${one}.size`);
    if (driver !== undefined) sizes[driver] = parseSize(`--storage-opt ${name}`, value);
    else if (!withoutEffect.includes(name)) {
      throw invalidArgument(`invalid --storage-opt "${pair}": expected DRIVER.size=SIZE, where DRIVER is ${storageDrivers.join(', ')}`);
    }
  }
  return sizes;
}

function cdiSpecDirs(dirs: readonly string[], areGiven: boolean, features: Value | undefined): readonly string[] | undefined {
  const isOn = features === undefined || Array.isArray(features) || (features as { readonly cdi?: unknown }).cdi !== false;
  const wanted = areGiven ? dirs.filter(dir => dir !== '') : ['/etc/cdi', '/var/run/cdi'];
  return isOn && wanted.length > 0 ? wanted : undefined;
}

function refuseDoubles(flags: DaemonFlags, config: ConfigValues, path: string): void {
  const doubles = [...flags.values].filter(([setting]) => config.has(setting));
  if (doubles.length === 0) return;
  const list = doubles.map(
    ([setting, value]) => `${String(setting.key)}: (from flag: ${value.join(', ')}, from file: ${listOf(config.get(setting)).join(', ')})`,
  );
  throw invalidArgument(`the following directives are specified both as a flag and in the configuration file ${path}: ${list.join(', ')}`);
}

function settingOf(name: string): Setting {
  const setting = settings.find(one => one.flag === name) ?? settings.find(one => one.key === name);
  if (setting === undefined) throw new Error(`no setting is called ${name}`);
  return setting;
}

const listOf = (value: Value | undefined): string[] =>
  Array.isArray(value) ? value.map(String) : value === undefined ? [] : [JSON.stringify(value)];

function hostsOf(given: readonly string[]): string[] {
  if (given.length === 0) return ['unix:///run/berth.sock'];
  return given.map(host => {
    if (/^unix:\/\/\/./.test(host) || /^tcp:\/\/[^/]*$/.test(host)) return host;
    if (isAbsolute(host)) return `unix://${host}`;
    throw invalidArgument(`invalid --host "${host}": expected unix:///path or tcp://address:port`);
  });
}

function runtimesOf(value: Value | undefined): RuntimeBinary[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) {
    return value.map(pair => {
      const [name, path] = splitPair('--add-runtime', String(pair));
      return { name, path, args: [] };
    });
  }
  return Object.entries(value).map(([name, entry]) => {
    if (typeof entry !== 'object' || entry === null || !('path' in entry) || typeof entry.path !== 'string') {
      throw invalidArgument(`runtime "${name}": give it a "path"`);
    }
    const args = 'runtimeArgs' in entry && Array.isArray(entry.runtimeArgs) ? entry.runtimeArgs.map(String) : [];
    return { name, path: entry.path, args };
  });
}

/** `builder.gc` as dockerd takes it. */
function buildCacheKeeps(value: Value | undefined): DaemonOptions['buildCacheKeeps'] {
  const gc = value === undefined || Array.isArray(value) || !('gc' in value) ? undefined : value.gc;
  if (gc === undefined) return 'default';
  if (typeof gc !== 'object' || gc === null) throw invalidArgument('"builder.gc" must be an object');
  if ('enabled' in gc && gc.enabled === false) return 'all';
  const keep = 'defaultReservedSpace' in gc ? gc.defaultReservedSpace : 'defaultKeepStorage' in gc ? gc.defaultKeepStorage : undefined;
  return keep === undefined ? 'default' : parseSize('builder.gc.defaultKeepStorage', String(keep));
}

function ulimitsOf(value: Value | undefined): { name: string; soft: number; hard: number }[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) {
    return value.map(text => {
      const match = /^(\w+)=(-?\d+)(?::(-?\d+))?$/.exec(String(text));
      if (match?.[1] === undefined) throw invalidArgument(`invalid --default-ulimit "${String(text)}": expected type=soft[:hard]`);
      return checkUlimit({ name: match[1], soft: Number(match[2]), hard: Number(match[3] ?? match[2]) });
    });
  }
  return Object.entries(value).map(([name, entry]) => {
    const limits = entry as { Name?: unknown; Soft?: unknown; Hard?: unknown };
    if (typeof limits !== 'object' || typeof limits.Soft !== 'number' || typeof limits.Hard !== 'number') {
      throw invalidArgument(`default-ulimits "${name}": give it numbers "Soft" and "Hard"`);
    }
    return checkUlimit({ name, soft: limits.Soft, hard: limits.Hard });
  });
}

function checkUlimit(limit: { name: string; soft: number; hard: number }) {
  if (limit.hard !== -1 && (limit.soft > limit.hard || limit.soft === -1)) {
    throw invalidArgument(`ulimit ${limit.name}: the soft limit ${String(limit.soft)} is above the hard limit ${String(limit.hard)}`);
  }
  return limit;
}

function address(flag: string, text: string | undefined, family?: 4 | 6): string | undefined {
  if (text === undefined) return undefined;
  const parsed = parseIp(text);
  if (parsed !== undefined && (family === undefined || parsed.family === family)) return formatIp(parsed);
  throw invalidArgument(`invalid ${flag} "${text}": expected an ${family === undefined ? 'IP' : `IPv${String(family)}`} address`);
}

/** As the flag gives them, `bridge=com.docker.network.driver.mtu=1400`, or as the configuration file does. */
function defaultNetworkOptions(value: Value | undefined): DaemonOptions['defaultNetworkOptions'] {
  const byDriver: Record<string, Record<string, string>> = {};
  const put = (driver: string, option: string, text: unknown): void => {
    if (typeof text !== 'string') throw invalidArgument(`default-network-opts "${driver}": the value of "${option}" must be a text`);
    (byDriver[driver] ??= {})[option] = text;
  };
  if (value !== undefined && Array.isArray(value)) {
    for (const item of value) {
      const [driver, pair] = splitPair('--default-network-opt', String(item));
      put(driver, ...splitPair('--default-network-opt', pair));
    }
  } else {
    for (const [driver, options] of Object.entries(value ?? {})) {
      if (typeof options !== 'object' || options === null)
        throw invalidArgument(`default-network-opts "${driver}" must be an object of texts`);
      for (const [option, text] of Object.entries(options)) put(driver, option, text);
    }
  }
  return byDriver;
}

function parsePool(text: string): { base: string; size: number } {
  const match = /^base=([^,]+),size=(\d+)$/.exec(text);
  if (match?.[1] === undefined) throw invalidArgument(`invalid --default-address-pool "${text}": expected base=CIDR,size=N`);
  const [base, size] = [parseCidr(match[1])?.prefix, Number(match[2])];
  if (base === undefined) throw invalidArgument(`invalid --default-address-pool "${text}": the base is no subnet such as 10.1.0.0/16`);
  const largest = base.family === 4 ? 32 : 128;
  if (size < base.length || size > largest)
    throw invalidArgument(`invalid --default-address-pool "${text}": the size has to be from ${String(base.length)} to ${String(largest)}`);
  return { base: formatPrefix(base), size };
}

function checkMirror(mirror: string): string {
  parseMirror(mirror);
  return mirror.replace(/\/+$/, '');
}

/** Flags, or the object `proxies` of daemon.json. */
function proxiesOf(text: (flag: string) => string | undefined, pairs: readonly string[]): DaemonOptions['proxies'] {
  const inFile = new Map(pairs.map(pair => splitPair('proxies', pair)));
  const names = ['http-proxy', 'https-proxy', 'no-proxy'];
  const unknown = [...inFile.keys()].find(name => !names.includes(name));
  if (unknown !== undefined) throw invalidArgument(`unknown key "${unknown}" in "proxies": there are ${names.join(', ')}`);
  const of = (name: string): string => text(name) ?? inFile.get(name) ?? '';
  return { http: of('http-proxy'), https: of('https-proxy'), none: of('no-proxy') };
}

function splitPair(flag: string, pair: string): [string, string] {
  const at = pair.indexOf('=');
  if (at <= 0) throw invalidArgument(`invalid ${flag} "${pair}": expected key=value`);
  return [pair.slice(0, at), pair.slice(at + 1)];
}

function parseSize(flag: string, text: string): number {
  const match = /^(\d+)\s*([kmgt]?)(?:i?b)?$/i.exec(text);
  if (match?.[1] === undefined) throw invalidArgument(`invalid ${flag} "${text}": expected a size such as 64MiB`);
  return Number(match[1]) * 1024 ** ['', 'k', 'm', 'g', 't'].indexOf((match[2] ?? '').toLowerCase());
}

/** A size, or a part of the disk such as `60%`; empty: none. */
function diskShare(flag: string, text: string): DiskShare | undefined {
  if (text === '') return undefined;
  const percent = /^(\d+(?:\.\d+)?)\s*%$/.exec(text)?.[1];
  if (percent === undefined) return { bytes: parseSize(flag, text) };
  const part = Number(percent) / 100;
  if (part <= 0 || part > 1) throw invalidArgument(`invalid ${flag} "${text}": expected more than 0% and at most 100%`);
  return { part };
}

/** A duration in milliseconds; `never`: undefined. */
function timeOrNever(flag: string, text: string): number | undefined {
  if (text === 'never') return undefined;
  try {
    const ms = Number(parseDuration(text) / 1_000_000n);
    if (ms >= 0) return ms;
  } catch {
    // Said below, with the flag.
  }
  throw invalidArgument(`invalid ${flag} "${text}": expected a duration such as 168h, or never`);
}

function oneOf<T extends string>(flag: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find(one => one === value);
  if (found === undefined) throw invalidArgument(`invalid ${flag} "${value}": expected ${allowed.join(', ')}`);
  return found;
}

function atLeast(least: number, flag: string, value: number): number {
  if (value < least) throw invalidArgument(`invalid ${flag} "${String(value)}": must be at least ${String(least)}`);
  return value;
}

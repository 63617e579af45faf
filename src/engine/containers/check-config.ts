import { isIP } from 'node:net';
import { parseNumbers, parsePortRange } from '#core/port-ranges.ts';
import { invalidArgument } from '#base/errors.ts';
import { resolveCapabilities } from './capabilities.ts';
import { checkProcessLimits, type Settled, settleResources } from './check-resources.ts';
import type { LogStore } from '#core/logs.ts';
import { mergeLogConfig } from './log-config.ts';
import type { ContainerConfig, HostConfig, RestartPolicy } from './model.ts';
import type { ContainerOptions } from './options.ts';
import type { HostFacts } from './ports.ts';
import { parseSeccompProfile } from './seccomp.ts';
import { parseSecurityOptions } from './security-options.ts';
import { parseSignal } from '#base/signals.ts';
import { checkUserNamespace } from './user-namespace.ts';
import { storageSize } from './storage-size.ts';

/** What a request is checked against. */
export interface Surroundings {
  readonly options: ContainerOptions;
  readonly host: HostFacts;
  readonly logs: Pick<LogStore, 'check'>;
}

/**
 * Checks everything that can be said about a request without looking at images or other containers. Returns it without the limits that the kernel
 * cannot enforce; rejects with InvalidArgument.
 */
export function checkRequest(config: ContainerConfig, hostConfig: HostConfig, { options, host, logs }: Surroundings): Settled<HostConfig> {
  checkConfig(config);
  if (hostConfig.autoRemove && hostConfig.restartPolicy.name !== 'no') {
    throw invalidArgument("can't create 'AutoRemove' container with restart policy");
  }
  checkRestartPolicy(hostConfig.restartPolicy);
  checkPorts(config, hostConfig);
  checkModes(config, hostConfig);
  checkUserNamespace(hostConfig, options);
  for (const extra of hostConfig.extraHosts) checkExtraHost(extra);
  for (const address of hostConfig.dns) {
    if (isIP(address) === 0) throw invalidArgument(`bad format for dns: invalid IP address: ${address}`);
  }
  resolveCapabilities({ add: hostConfig.capAdd, drop: hostConfig.capDrop, privileged: hostConfig.privileged }, host.capabilities);
  const { seccomp } = parseSecurityOptions(hostConfig.securityOpt);
  if (seccomp !== undefined && seccomp !== 'unconfined' && seccomp !== 'builtin') parseSeccompProfile(seccomp);
  if (!options.runtimes.has(hostConfig.runtime === '' ? options.defaultRuntime : hostConfig.runtime)) {
    throw invalidArgument(`unknown or invalid runtime name: ${hostConfig.runtime}`);
  }
  logs.check(mergeLogConfig(hostConfig.logConfig, options.defaultLog));
  if (hostConfig.isolation !== '' && hostConfig.isolation !== 'default') {
    throw invalidArgument(`Invalid isolation: "${hostConfig.isolation}" - linux only supports 'default'`);
  }
  storageSize(hostConfig.storageOpt);
  checkProcessLimits(hostConfig);
  return settleResources(hostConfig, host, 'create');
}

function checkConfig(config: ContainerConfig): void {
  if (config.workingDir !== '' && !config.workingDir.startsWith('/')) {
    throw invalidArgument(`the working directory '${config.workingDir}' is invalid, it needs to be an absolute path`);
  }
  for (const variable of config.env) {
    if (variable === '' || variable.startsWith('=')) throw invalidArgument(`invalid environment variable: ${variable}`);
    if (variable.includes('\0')) throw invalidArgument('invalid environment variable: it must not contain a null character');
  }
  // sethostname(2) takes at most 64 bytes.
  if (config.hostname.length > 64 || /[\s/\0]/.test(config.hostname)) throw invalidArgument(`invalid hostname format: ${config.hostname}`);
  if (config.stopSignal !== undefined && config.stopSignal !== '') parseSignal(config.stopSignal);
  const { healthcheck } = config;
  if (healthcheck === undefined) return;
  for (const [name, value] of Object.entries({
    Interval: healthcheck.Interval,
    Timeout: healthcheck.Timeout,
    StartPeriod: healthcheck.StartPeriod,
    StartInterval: healthcheck.StartInterval,
  })) {
    if (value !== undefined && value !== 0 && value < 1_000_000) throw invalidArgument(`${name} in Healthcheck cannot be less than 1ms`);
  }
  if ((healthcheck.Retries ?? 0) < 0) throw invalidArgument('Retries in Healthcheck cannot be negative');
}

export function checkRestartPolicy(policy: RestartPolicy): void {
  const { name, maximumRetryCount: count } = policy;
  switch (name) {
    case 'always':
    case 'no':
    case 'unless-stopped':
      if (count === 0) return;
      throw invalidArgument(
        `invalid restart policy: maximum retry count can only be used with 'on-failure'${count < 0 ? ' and cannot be negative' : ''}`,
      );
    case 'on-failure':
      if (count < 0) throw invalidArgument('invalid restart policy: maximum retry count cannot be negative');
      return;
    default:
      throw invalidArgument(
        `invalid restart policy: unknown policy '${String(name)}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
      );
  }
}

const portPattern = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i;

function checkPorts(config: ContainerConfig, hostConfig: HostConfig): void {
  for (const port of [...config.exposedPorts, ...Object.keys(hostConfig.portBindings)]) {
    if (!isPortRange(port)) throw invalidArgument(`invalid port specification: "${port}"`);
  }
  for (const [port, bindings] of Object.entries(hostConfig.portBindings)) {
    for (const { hostIp, hostPort } of bindings) {
      if (hostPort !== '' && !isPortRange(hostPort)) throw invalidArgument(`invalid port specification: "${hostPort}"`);
      if (!fitsRange(port, hostPort))
        throw invalidArgument(`invalid ranges specified for container and host Ports: ${port} and ${hostPort}`);
      if (hostIp !== '' && isIP(hostIp) === 0) throw invalidArgument(`invalid IP address in port binding: "${hostIp}"`);
    }
  }
}

function isPortRange(text: string): boolean {
  const match = portPattern.exec(text);
  if (match?.[1] === undefined) return false;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return last <= 65_535 && first <= last;
}

/** As many ports outside as inside, or any, or one inside at any of several outside. */
function fitsRange(port: string, hostPort: string): boolean {
  const inside = parsePortRange(port);
  const outside = parseNumbers(hostPort);
  if (inside === undefined || outside === undefined || inside.first === inside.last || outside.last === 0) return true;
  return inside.last - inside.first === outside.last - outside.first;
}

function checkExtraHost(text: string): void {
  const separator = text.search(/[:=]/);
  const address = text.slice(separator + 1).replace(/^\[(.*)\]$/, '$1');
  if (separator <= 0 || address === '') throw invalidArgument(`bad format for add-host: "${text}"`);
  if (address !== 'host-gateway' && isIP(address) === 0) throw invalidArgument(`invalid IP address in add-host: "${address}"`);
}

function checkModes(config: ContainerConfig, hostConfig: HostConfig): void {
  const { networkMode, ipcMode, pidMode, utsMode, usernsMode, cgroupnsMode } = hostConfig;
  const isContainer = networkMode.startsWith('container:');
  if (networkMode === 'container' || networkMode === 'container:') {
    throw invalidArgument('Invalid network mode: invalid container format container:<name|id>');
  }
  if (isContainer) {
    const conflicts: readonly (readonly [boolean, string])[] = [
      [config.hostname !== '', 'hostname and the network mode'],
      [hostConfig.links.length > 0, "container type network can't be used with links. This would result in undefined behavior"],
      [hostConfig.dns.length > 0, 'dns and the network mode'],
      [hostConfig.extraHosts.length > 0, 'custom host-to-IP mapping and the network mode'],
      [config.macAddress !== '', 'mac-address and the network mode'],
      [
        hostConfig.publishAllPorts || Object.keys(hostConfig.portBindings).length > 0,
        'port publishing and the container type network mode',
      ],
      [config.exposedPorts.length > 0, 'port exposing and the container type network mode'],
    ];
    for (const [isSo, what] of conflicts) if (isSo) throw invalidArgument(`conflicting options: ${what}`);
  }
  if (networkMode === 'host' && hostConfig.links.length > 0) {
    throw invalidArgument("conflicting options: host type networking can't be used with links. This would result in undefined behavior");
  }
  if (utsMode === 'host' && config.hostname !== '') throw invalidArgument('conflicting options: hostname and the UTS mode');
  if (utsMode === 'host' && config.domainname !== '') throw invalidArgument('conflicting options: domainname and the UTS mode');
  checkMode('IPC', ipcMode, ['', 'none', 'private', 'shareable', 'host'], true);
  checkMode('PID', pidMode, ['', 'host'], true);
  checkMode('UTS', utsMode, ['', 'host'], false);
  checkMode('user namespace', usernsMode, ['', 'host'], false);
  checkMode('cgroup namespace', cgroupnsMode, ['', 'private', 'host'], false);
  checkSysctls(hostConfig);
}

/** Kernel settings of a namespace that the container shares with the host are the host's. */
function checkSysctls({ sysctls, networkMode, ipcMode }: HostConfig): void {
  for (const name of Object.keys(sysctls)) {
    const dotted = name.replaceAll('/', '.');
    if (networkMode === 'host' && dotted.startsWith('net.'))
      throw invalidArgument(`sysctl "${name}" not allowed in host network namespace`);
    if (ipcMode === 'host' && isOfIpc(dotted)) throw invalidArgument(`sysctl "${name}" is not allowed in the hosts ipc namespace`);
  }
}

// ipc_namespaces(7).
const ipcSysctls = ['msgmax', 'msgmnb', 'msgmni', 'sem', 'shmall', 'shmmax', 'shmmni', 'shm_rmid_forced'].map(name => `kernel.${name}`);
const isOfIpc = (name: string): boolean => ipcSysctls.includes(name) || name.startsWith('fs.mqueue.');

function checkMode(what: string, mode: string, words: readonly string[], mayJoin: boolean): void {
  if (words.includes(mode) || (mayJoin && /^container:.+/.test(mode))) return;
  throw invalidArgument(`invalid ${what} mode: ${mode}`);
}

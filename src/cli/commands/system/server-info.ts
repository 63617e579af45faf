import type { Commit, SystemInfo } from '#api/types/system.ts';
import { binarySize } from '../../output/units.ts';

/** The server's half of `info`, a line for each thing that it tells. */
export function describeServer(info: SystemInfo): string {
  const lines: string[] = [];
  const add = (label: string, value: unknown, depth = 1): void => {
    if (value !== undefined && value !== null && value !== '') lines.push(`${' '.repeat(depth)}${label}: ${String(value)}`);
  };
  add('Containers', info.Containers);
  add('Running', info.ContainersRunning, 2);
  add('Paused', info.ContainersPaused, 2);
  add('Stopped', info.ContainersStopped, 2);
  add('Images', info.Images);
  add('Server Version', info.ServerVersion);
  add('Storage Driver', info.Driver);
  for (const [name, value] of info.DriverStatus ?? []) lines.push(`  ${name}: ${value}`);
  add('Logging Driver', info.LoggingDriver);
  add('Cgroup Driver', info.CgroupDriver);
  add('Cgroup Version', info.CgroupVersion);
  lines.push(' Plugins:');
  add('Volume', info.Plugins.Volume?.join(' '), 2);
  add('Network', info.Plugins.Network?.join(' '), 2);
  if ((info.Plugins.Authorization ?? []).length > 0) add('Authorization', info.Plugins.Authorization?.join(' '), 2);
  add('Log', info.Plugins.Log?.join(' '), 2);
  add('Swarm', info.Swarm?.LocalNodeState);
  lines.push(...runtimeLines(info), ...machineLines(info), ...daemonLines(info));
  return `${lines.join('\n')}\n\n`;
}

function runtimeLines(info: SystemInfo): string[] {
  if (info.OSType !== 'linux') return [];
  const commit = (name: string, { ID, Expected }: Commit): string =>
    ` ${name} version: ${ID === '' ? 'N/A' : ID}${Expected !== undefined && Expected !== '' && Expected !== ID ? ` (expected: ${Expected})` : ''}`;
  const lines = [
    ` Runtimes: ${Object.keys(info.Runtimes ?? {}).join(' ')}`,
    ` Default Runtime: ${info.DefaultRuntime}`,
    ` Init Binary: ${info.InitBinary}`,
    commit('containerd', info.ContainerdCommit),
    commit('runc', info.RuncCommit),
    commit('init', info.InitCommit),
  ];
  if ((info.SecurityOptions ?? []).length === 0) return lines;
  lines.push(' Security Options:');
  for (const option of info.SecurityOptions) {
    const fields = option.split(',').map(field => field.split('='));
    const name = fields.find(([key]) => key === 'name')?.[1] ?? option;
    lines.push(`  ${name}`);
    for (const [key = '', value = ''] of fields) if (key !== 'name') lines.push(`   ${key === 'profile' ? 'Profile' : key}: ${value}`);
  }
  return lines;
}

function machineLines(info: SystemInfo): string[] {
  return [
    ` Kernel Version: ${info.KernelVersion}`,
    ` Operating System: ${info.OperatingSystem}`,
    ` OSType: ${info.OSType}`,
    ` Architecture: ${info.Architecture}`,
    ` CPUs: ${info.NCPU}`,
    ` Total Memory: ${binarySize(info.MemTotal)}`,
    ...(info.Name === '' ? [] : [` Name: ${info.Name}`]),
    ...(info.ID === '' ? [] : [` ID: ${info.ID}`]),
    ` Docker Root Dir: ${info.DockerRootDir}`,
    ` Debug Mode: ${info.Debug}`,
  ];
}

function daemonLines(info: SystemInfo): string[] {
  const lines: string[] = [];
  if (info.Debug) {
    lines.push(
      `  File Descriptors: ${info.NFd}`,
      `  Goroutines: ${info.NGoroutines}`,
      `  System Time: ${info.SystemTime}`,
      `  EventsListeners: ${info.NEventsListener}`,
    );
  }
  if ((info.HttpProxy ?? '') !== '') lines.push(` HTTP Proxy: ${info.HttpProxy}`);
  if ((info.HttpsProxy ?? '') !== '') lines.push(` HTTPS Proxy: ${info.HttpsProxy}`);
  if ((info.NoProxy ?? '') !== '') lines.push(` No Proxy: ${info.NoProxy}`);
  if ((info.Labels ?? []).length > 0) lines.push(' Labels:', ...info.Labels.map(label => `  ${label}`));
  lines.push(` Experimental: ${info.ExperimentalBuild}`);
  const registry = info.RegistryConfig;
  const insecure = [
    ...Object.values(registry?.IndexConfigs ?? {})
      .filter(index => !index.Secure)
      .map(index => index.Name),
    ...(registry?.InsecureRegistryCIDRs ?? []),
  ];
  if (insecure.length > 0) lines.push(' Insecure Registries:', ...insecure.map(name => `  ${name}`));
  if ((registry?.Mirrors ?? []).length > 0) lines.push(' Registry Mirrors:', ...(registry?.Mirrors ?? []).map(mirror => `  ${mirror}`));
  lines.push(` Live Restore Enabled: ${info.LiveRestoreEnabled}`);
  if ((info.ProductLicense ?? '') !== '') lines.push(` Product License: ${info.ProductLicense}`);
  if ((info.DefaultAddressPools ?? []).length > 0) {
    lines.push(' Default Address Pools:', ...(info.DefaultAddressPools ?? []).map(pool => `   Base: ${pool.Base}, Size: ${pool.Size}`));
  }
  if (info.FirewallBackend !== undefined) lines.push(` Firewall Backend: ${info.FirewallBackend.Driver}`);
  return lines;
}

/** What the daemon warns of; for daemons that do not say, what their limits tell. */
export function serverWarnings(info: SystemInfo): string[] {
  if ((info.Warnings ?? []).length > 0) return info.Warnings ?? [];
  if (info.OSType !== 'linux' || info.Warnings !== undefined) return [];
  const missing: readonly (readonly [boolean, string])[] = [
    [info.MemoryLimit, 'No memory limit support'],
    [info.SwapLimit, 'No swap limit support'],
    [info.CpuCfsQuota, 'No cpu cfs quota support'],
    [info.CPUShares, 'No cpu shares support'],
    [info.CPUSet, 'No cpuset support'],
    [info.IPv4Forwarding, 'IPv4 forwarding is disabled'],
  ];
  return missing.filter(([present]) => !present).map(([, warning]) => `WARNING: ${warning}`);
}

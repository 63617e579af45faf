import type { Attributes } from '#api/buildkit/messages.ts';
import { basename } from 'node:path';
import { attestationOptions, hasDefaultAttestations } from './attestations.ts';
import type { BuildContext } from './context.ts';
import type { Outputs } from './outputs.ts';
import type { BuildFlags } from './flags.ts';
import { limitsOfFlags, platformsOf } from './request.ts';
import { cut } from '../flags/flag.ts';

export interface FrontendParts {
  readonly context: BuildContext;
  /** Where the daemon finds a context that is an archive. */
  readonly uploadUrl: string;
  readonly buildArgs: Readonly<Record<string, string | null>>;
  readonly namedContexts: Attributes;
  readonly outputs: Outputs;
  /** What the daemon's worker says of itself. */
  readonly labels: Attributes;
}

/** The options of BuildKit's Dockerfile frontend that the flags mean. */
export function frontendOptions(flags: BuildFlags, parts: FrontendParts): Attributes {
  const { context, uploadUrl, buildArgs, namedContexts, outputs, labels } = parts;
  const isArchive = context.dockerfile === undefined;
  const limits = limitsOfFlags(flags);
  const number = (value: number | undefined): string => (value === undefined || value === 0 ? '' : String(value));
  const gateway = labels['org.mobyproject.buildkit.worker.moby.host-gateway-ip'];
  const options: Record<string, string> = {
    filename: isArchive ? (context.dockerfileName ?? '') : basename(context.dockerfile?.name ?? 'Dockerfile'),
    context: isArchive ? uploadUrl : '',
    target: flags.target,
    platform: platformsOf(flags).join(','),
    'image-resolve-mode': flags.pull ? 'pull' : 'local',
    'force-network-mode': flags.network === 'default' ? '' : flags.network,
    'add-hosts': flags['add-host'].map(host => hostEntry(host, gateway)).join(','),
    ulimit: flags.ulimit.map(({ Name, Soft, Hard }) => `${Name}=${String(Soft)}:${String(Hard)}`).join(','),
    'cgroup-parent': flags['cgroup-parent'],
    'shm-size': number(flags['shm-size']),
    memory: number(limits.memory),
    memswap: number(limits['memory-swap']),
    cpushares: number(limits['cpu-shares']),
    cpuperiod: number(limits['cpu-period']),
    cpuquota: number(limits['cpu-quota']),
    cpusetcpus: limits['cpuset-cpus'] ?? '',
    cpusetmems: limits['cpuset-mems'] ?? '',
  };
  for (const [name, value] of Object.entries(options)) if (value === '') delete options[name];
  if (flags['no-cache']) options['no-cache'] = '';
  else if (flags['no-cache-filter'].length > 0) options['no-cache'] = flags['no-cache-filter'].join(',');
  for (const [name, value] of Object.entries(buildArgs)) if (value !== null) options[`build-arg:${name}`] = value;
  for (const [name, value] of flags.label.map(label => cut(label))) options[`label:${name}`] = value ?? '';
  return { ...options, ...namedContexts, ...attestations(flags, outputs) };
}

function attestations(flags: BuildFlags, { specs }: Outputs): Attributes {
  const asked = attestationOptions(flags);
  const leaves = specs.some(({ type, attributes }) => type === 'oci' || attributes.push === 'true');
  const isDefault = leaves && hasDefaultAttestations() && asked['attest:provenance'] === undefined;
  return { ...(isDefault && { 'attest:provenance': 'mode=min,inline-only=true' }), ...asked };
}

/** `name=address`; the machine's own address has a name that only the daemon can replace. */
function hostEntry(given: string, gateway: string | undefined): string {
  const [, name = '', address = ''] = /^([^:=]*)[:=](.*)$/.exec(given) ?? [];
  return `${name}=${address === 'host-gateway' && gateway !== undefined ? gateway : address}`;
}

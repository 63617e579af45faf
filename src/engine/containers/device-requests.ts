import { failedPrecondition } from '#base/errors.ts';
import type { DeviceCatalogue } from '#core/device-catalogue.ts';
import { type CdiDeviceNode, type CdiHook, type ContainerEdits } from '#oci/cdi.ts';
import type { MountSpec, ResourcesSpec, RuntimeSpec } from '#oci/runtime-spec.ts';
import { type ContainerDevice, deviceMounts, deviceSpecs } from './devices.ts';
import type { DeviceRequest } from './model.ts';
import type { HostFacts } from './ports.ts';

/** The class in which the files of the vendor of most GPUs describe them. */
const gpuKind = 'nvidia.com/gpu';

/**
 * What `--gpus` and `--device vendor.com/class=name` mean on this machine now. Rejects with FailedPrecondition. Without a catalogue there is nobody who
 * could serve such a request.
 */
export function requestedEdits(requests: readonly DeviceRequest[], catalogue: DeviceCatalogue | undefined): readonly ContainerEdits[] {
  if (requests.length === 0) return [];
  const names = requests.flatMap(request => namesFor(request, catalogue));
  if (catalogue === undefined) return [];
  const { edits, missing } = catalogue.resolve(names);
  if (missing.length > 0) throw failedPrecondition(`CDI device injection failed: unresolvable CDI devices ${missing.join(', ')}`);
  return edits;
}

function namesFor(request: DeviceRequest, catalogue: DeviceCatalogue | undefined): readonly string[] {
  const { driver, count, deviceIds, capabilities } = request;
  if (catalogue !== undefined && driver === 'cdi') return deviceIds;
  const isGpu = capabilities.some(set => set.includes('gpu'));
  if (
    catalogue !== undefined &&
    isGpu &&
    (driver === '' || driver === 'nvidia') &&
    catalogue.names().some(name => name.startsWith(`${gpuKind}=`))
  ) {
    if (deviceIds.length > 0) return deviceIds.map(id => `${gpuKind}=${id}`);
    return count < 0 ? [`${gpuKind}=all`] : Array.from({ length: count }, (_, index) => `${gpuKind}=${String(index)}`);
  }
  const sets = capabilities.map(set => `[${set.join(' ')}]`).join(' ');
  throw failedPrecondition(`could not select device driver "${driver}" with capabilities: [${sets}]`);
}

/** Changes a spec as the descriptions of devices ask for. */
export function applyEdits(spec: RuntimeSpec, edits: readonly ContainerEdits[], host: HostFacts): RuntimeSpec {
  return edits.reduce((edited, edit) => applyEdit(edited, edit, host), spec);
}

function applyEdit(spec: RuntimeSpec, edits: ContainerEdits, host: HostFacts): RuntimeSpec {
  const nodes = edits.deviceNodes.map(node => deviceOf(node, spec, host));
  const { linux, process, mounts } = spec;
  const isMapped = linux.uidMappings !== undefined;
  const replaced = new Set(nodes.map(node => node.path));
  const devices = [...(linux.devices ?? []).filter(device => !replaced.has(device.path)), ...(isMapped ? [] : deviceSpecs(nodes))];
  const gids = [...new Set([...(process.user.additionalGids ?? []), ...edits.additionalGids.filter(gid => gid > 0)])];
  return {
    ...spec,
    process: {
      ...process,
      env: withVariables(process.env, edits.env),
      user: { ...process.user, ...(gids.length > 0 ? { additionalGids: gids } : {}) },
    },
    mounts: [...mounts, ...edits.mounts.map(mountSpec), ...(isMapped ? deviceMounts(nodes) : [])],
    ...withHooks(spec.hooks, edits.hooks),
    linux: {
      ...linux,
      ...(devices.length > 0 ? { devices } : {}),
      resources: {
        ...linux.resources,
        devices: [...(linux.resources?.devices ?? []), ...nodes.flatMap((node, at) => ruleFor(node, edits.deviceNodes[at]))],
      },
      ...(edits.intelRdt === undefined ? {} : { intelRdt: { ...edits.intelRdt } }),
    },
  };
}

/** What a file does not say is as on the host. */
function deviceOf(node: CdiDeviceNode, spec: RuntimeSpec, host: HostFacts): ContainerDevice {
  const source = node.hostPath ?? node.path;
  const isComplete = node.type !== undefined && (node.type === 'p' || (node.major !== undefined && node.minor !== undefined));
  const found = isComplete ? undefined : findDevice(source, host);
  const type = (node.type ?? found?.type ?? 'c') as ContainerDevice['type'];
  if (found !== undefined && found.type !== type) {
    throw failedPrecondition(`CDI device injection failed: ${source} is a device of type ${found.type}, not ${type}`);
  }
  const uid = node.uid ?? (spec.process.user.uid > 0 ? spec.process.user.uid : undefined);
  const gid = node.gid ?? (spec.process.user.gid > 0 ? spec.process.user.gid : undefined);
  return {
    source,
    path: node.path,
    type,
    ...(type === 'p' ? {} : { major: node.major ?? found?.major ?? 0, minor: node.minor ?? found?.minor ?? 0 }),
    ...((node.fileMode ?? found?.fileMode) === undefined ? {} : { fileMode: node.fileMode ?? found?.fileMode ?? 0 }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  };
}

function findDevice(path: string, host: HostFacts): ReturnType<HostFacts['devices']>[number] {
  let found: ReturnType<HostFacts['devices']> = [];
  try {
    found = host.devices(path);
  } catch (err) {
    throw failedPrecondition(`CDI device injection failed: failed to stat CDI host device "${path}": no such file or directory`, {
      cause: err,
    });
  }
  const [device] = found;
  if (device === undefined) throw failedPrecondition(`CDI device injection failed: CDI host device "${path}" is not a device`);
  return device;
}

type Rule = NonNullable<ResourcesSpec['devices']>[number];

function ruleFor({ type, major, minor }: ContainerDevice, node: CdiDeviceNode | undefined): Rule[] {
  if (type !== 'b' && type !== 'c') return [];
  const access = node?.permissions === undefined ? 'rwm' : node.permissions;
  return [{ allow: true, type, access, ...(major === undefined ? {} : { major }), ...(minor === undefined ? {} : { minor }) }];
}

function withVariables(env: readonly string[], added: readonly string[]): string[] {
  const nameOf = (variable: string): string => variable.slice(0, variable.indexOf('='));
  const names = new Set(added.map(nameOf));
  return [...env.filter(variable => !names.has(nameOf(variable))), ...added];
}

const mountSpec = ({ hostPath, containerPath, type, options }: ContainerEdits['mounts'][number]): MountSpec => ({
  destination: containerPath,
  source: hostPath,
  type: type ?? 'bind',
  options: [
    ...(options.length === 0 ? ['rbind'] : options),
    ...(options.some(option => /^r?bind$/.test(option)) || type !== undefined || options.length === 0 ? [] : ['rbind']),
  ],
});

function withHooks(hooks: RuntimeSpec['hooks'], added: readonly CdiHook[]): Pick<RuntimeSpec, 'hooks'> {
  if (added.length === 0) return hooks === undefined ? {} : { hooks };
  const all: Record<string, NonNullable<RuntimeSpec['hooks']>[string][number][]> = {};
  for (const [name, list] of Object.entries(hooks ?? {})) all[name] = [...list];
  for (const { hookName, path, args, env, timeout } of added) {
    (all[hookName] ??= []).push({
      path,
      ...(args.length > 0 ? { args: [...args] } : {}),
      ...(env.length > 0 ? { env: [...env] } : {}),
      ...(timeout === undefined ? {} : { timeout }),
    });
  }
  return { hooks: all };
}

import { invalidArgument } from '#base/errors.ts';
import type { ContainerCreateRequest, ContainerInspect, ContainerSummary, ContainerUpdateRequest, Mount } from '#api/types/container.ts';
import type { ImageInspect, ImageSummary } from '#api/types/image.ts';
import type { Network } from '#api/types/network.ts';
import type { SystemInfo } from '#api/types/system.ts';
import { isBefore } from '#api/versions.ts';
import type { ApiVersion } from '#api/versions.ts';

/** What is different for clients of an older API: a change to a value on its way in or out. */
export interface Shim<T> {
  readonly before: ApiVersion;
  readonly why: string;
  readonly apply: (value: T) => void;
}

/** Applies every row that is meant for this version, and returns the value. */
export function shim<T>(rows: readonly Shim<T>[], version: ApiVersion, value: T): T {
  for (const row of rows) if (isBefore(version, row.before)) row.apply(value);
  return value;
}

const mountsOf = (request: ContainerCreateRequest): readonly Mount[] => request.HostConfig?.Mounts ?? [];
const endpointsOf = (request: ContainerCreateRequest) => Object.values(request.NetworkingConfig?.EndpointsConfig ?? {});

/** POST /containers/create, on its way in. */
export const createShims: readonly Shim<ContainerCreateRequest>[] = [
  {
    before: '1.48',
    why: 'image mounts and gateway priorities arrived in 1.48',
    apply: request => {
      if (mountsOf(request).some(mount => mount.Type === 'image')) throw invalidArgument('Mount type "image" needs API v1.48 or newer');
      for (const endpoint of endpointsOf(request)) delete endpoint?.GwPriority;
    },
  },
  {
    before: '1.45',
    why: 'volume subpaths arrived in 1.45',
    apply: request => {
      if (mountsOf(request).some(mount => (mount.VolumeOptions?.Subpath ?? '') !== '')) {
        throw invalidArgument('VolumeOptions.Subpath needs API v1.45 or newer');
      }
    },
  },
  {
    before: '1.44',
    why: 'a container was created on one network; endpoints had no MAC address; read-only mounts left those below them writable',
    apply: request => {
      const names = Object.keys(request.NetworkingConfig?.EndpointsConfig ?? {});
      if (names.length > 1) throw invalidArgument(`Container cannot be connected to network endpoints: ${names.join(', ')}`);
      for (const endpoint of endpointsOf(request)) delete endpoint?.MacAddress;
      delete request.Healthcheck?.StartInterval;
      for (const mount of mountsOf(request)) {
        if (mount.BindOptions?.ReadOnlyForceRecursive === true) {
          throw invalidArgument('BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer');
        }
        if (mount.Type === 'bind' && mount.ReadOnly === true) mount.BindOptions = { ...mount.BindOptions, ReadOnlyNonRecursive: true };
      }
    },
  },
  { before: '1.43', why: 'annotations arrived in 1.43', apply: request => void delete request.HostConfig?.Annotations },
  {
    before: '1.42',
    why: 'CreateMountpoint and the console size arrived in 1.42',
    apply: request => {
      delete request.HostConfig?.ConsoleSize;
      for (const mount of mountsOf(request)) delete mount.BindOptions?.CreateMountpoint;
    },
  },
  {
    before: '1.40',
    why: 'ipc namespaces were shareable unless asked otherwise, binds always recursive',
    apply: request => {
      const hostConfig = (request.HostConfig ??= {});
      if ((hostConfig.IpcMode ?? '') === '') hostConfig.IpcMode = 'shareable';
      for (const mount of mountsOf(request)) delete mount.BindOptions?.NonRecursive;
    },
  },
];

/** The same on a machine with cgroup version 1. */
export const createShimsOnCgroup1: readonly Shim<ContainerCreateRequest>[] = [
  ...createShims,
  {
    before: '1.41',
    why: 'containers were in the cgroup namespace of the host unless asked otherwise',
    apply: request => {
      const hostConfig = (request.HostConfig ??= {});
      if ((hostConfig.CgroupnsMode ?? '') === '') hostConfig.CgroupnsMode = 'host';
    },
  },
];

/** POST /containers/{id}/update, on its way in. */
export const updateShims: readonly Shim<ContainerUpdateRequest>[] = [
  { before: '1.40', why: 'the limit of processes could be changed from 1.40 on', apply: request => void delete request.PidsLimit },
];

/** Each item of GET /containers/json, on its way out. */
export const containerSummaryShims: readonly Shim<ContainerSummary>[] = [
  { before: '1.46', why: 'annotations were listed from 1.46 on', apply: summary => void delete summary.HostConfig.Annotations },
];

/** GET /containers/{id}/json, on its way out. */
export const inspectShims: readonly Shim<ContainerInspect>[] = [
  {
    before: '1.42',
    why: 'limits of kernel memory, which kernels no longer have, were told',
    apply: ({ HostConfig }) => Object.assign(HostConfig, { KernelMemory: 0, KernelMemoryTCP: 0 }),
  },
  {
    before: '1.45',
    why: 'aliases included the short id on networks with names of their own',
    apply: inspect => {
      if (['default', 'bridge', 'host', 'none'].includes(inspect.HostConfig.NetworkMode ?? '')) return;
      for (const endpoint of Object.values(inspect.NetworkSettings.Networks)) {
        endpoint.Aliases = [...new Set([...(endpoint.Aliases ?? []), inspect.Id.slice(0, 12), inspect.Config.Hostname ?? ''])].filter(
          Boolean,
        );
      }
    },
  },
];

const unnamed = '<none>';

/** Each image of GET /system/df, on its way out. */
export const diskUsageImageShims: readonly Shim<ImageSummary>[] = [
  { before: '1.44', why: 'VirtualSize was removed in 1.44', apply: image => void (image.VirtualSize = image.Size) },
  {
    before: '1.43',
    why: 'an image without a name was listed as <none>',
    apply: image => {
      if (image.RepoTags.length > 0 || image.RepoDigests.length > 0) return;
      image.RepoTags = [`${unnamed}:${unnamed}`];
      image.RepoDigests = [`${unnamed}@${unnamed}`];
    },
  },
];

/** Each item of GET /images/json, on its way out. */
export const imageSummaryShims: readonly Shim<ImageSummary>[] = [
  { before: '1.51', why: 'containers were not counted', apply: image => void (image.Containers = -1) },
  ...diskUsageImageShims,
];

/** GET /images/{name}/json, on its way out. */
export const imageInspectShims: readonly Shim<ImageInspect>[] = [
  { before: '1.48', why: 'the descriptor came in 1.48', apply: image => void delete image.Descriptor },
  {
    before: '1.45',
    why: 'the container that an image was committed from was told; compose 1 carries the volumes of its configuration over to a new container',
    apply: image => {
      image.Container = '';
      if (image.Config !== null) image.ContainerConfig = image.Config;
    },
  },
  {
    before: '1.44',
    why: 'VirtualSize was there, and an unknown time of creation was the zero time',
    apply: image => {
      image.VirtualSize = image.Size;
      image.Created ??= '0001-01-01T00:00:00Z';
    },
  },
];

/** GET /networks and /networks/{id}, on their way out. */
export const networkShims: readonly Shim<Network>[] = [
  { before: '1.48', why: 'EnableIPv4 arrived in 1.48', apply: network => void Reflect.deleteProperty(network, 'EnableIPv4') },
];

/** GET /info, on its way out. */
export const infoShims: readonly Shim<SystemInfo>[] = [
  {
    before: '1.50',
    why: 'discovered devices arrived; commits had an expected value, and the bridge netfilter switches were told',
    apply: info => {
      delete info.DiscoveredDevices;
      for (const commit of [info.ContainerdCommit, info.RuncCommit, info.InitCommit]) commit.Expected = commit.ID;
      info.BridgeNfIptables = false;
      info.BridgeNfIp6tables = false;
    },
  },
  {
    before: '1.49',
    why: 'FirewallBackend arrived, and the lists of registries for layers that may not be distributed went',
    apply: info => {
      delete info.FirewallBackend;
      if (info.RegistryConfig === null) return;
      info.RegistryConfig.AllowNondistributableArtifactsCIDRs = null;
      info.RegistryConfig.AllowNondistributableArtifactsHostnames = null;
    },
  },
  {
    before: '1.42',
    why: 'kernel memory limits were told until 1.42',
    apply: info => {
      info.KernelMemory = false;
      info.KernelMemoryTCP = false;
    },
  },
  {
    before: '1.25',
    why: 'security options were plain names',
    apply: info => {
      info.SecurityOptions = info.SecurityOptions.map(option => /^name=([^,]*)/.exec(option)?.[1] ?? option);
    },
  },
];

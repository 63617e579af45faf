/**
 * Fields that daemons leave out of their JSON when there is nothing to say: a template may ask for them all the same, as in
 * `{{if .State.Health}}…{{end}}`. The paths are those of what `inspect` shows.
 */
const optional = new Set([
  'State.Health',
  'Config.Healthcheck',
  'Config.ExposedPorts',
  'Config.StopSignal',
  'Config.StopTimeout',
  'Config.Shell',
  'Config.ArgsEscaped',
  'Config.NetworkDisabled',
  'Config.MacAddress',
  'HostConfig.Mounts',
  'HostConfig.Tmpfs',
  'HostConfig.StorageOpt',
  'HostConfig.Sysctls',
  'HostConfig.Annotations',
  'HostConfig.Init',
  'HostConfig.Runtime',
  'SizeRw',
  'SizeRootFs',
  'ImageManifestDescriptor',
  'Descriptor',
  'Created',
  'Variant',
  'OsVersion',
  'Author',
  'Comment',
  'Parent',
  'DockerVersion',
  'VirtualSize',
  'Status',
  'UsageData',
  'ClusterVolume',
  'Peers',
  'Services',
  'GraphDriver',
]);

export const isOptionalField = (path: string): boolean => optional.has(path);

/**
 * Every setting of the daemon once: its flag, its daemon.json key and what kind of value it takes (dockerd reference: options and daemon
 * configuration file). `accepted` ones configure what Berth does in one way only; they are read and checked so that existing files and unit files work.
 */
export interface Setting {
  readonly flag?: string;
  readonly short?: string;
  /** The key in the configuration file; a dot descends into an object. */
  readonly key?: string;
  readonly type: 'string' | 'bool' | 'int' | 'bytes' | 'list' | 'map' | 'object';
  readonly help: string;
  readonly accepted?: string;
}

export const settings: readonly Setting[] = [
  { flag: 'host', short: 'H', key: 'hosts', type: 'list', help: 'Socket to listen on: unix://path or tcp://address:port (repeatable)' },
  { flag: 'data-root', key: 'data-root', type: 'string', help: 'Directory of the persistent state (default "/var/lib/berth")' },
  { flag: 'exec-root', key: 'exec-root', type: 'string', help: 'Directory of the running state (default "/run/berth")' },
  { flag: 'pidfile', short: 'p', key: 'pidfile', type: 'string', help: 'File for the process id (default "/run/berth.pid")' },
  { flag: 'config-file', type: 'string', help: 'Configuration file (default "/etc/berth/daemon.json")' },
  { flag: 'debug', short: 'D', key: 'debug', type: 'bool', help: 'Log at level debug' },
  {
    flag: 'log-level',
    short: 'l',
    key: 'log-level',
    type: 'string',
    help: 'Least severe level to log: debug, info, warn, error, fatal (default "info")',
  },
  { flag: 'log-format', key: 'log-format', type: 'string', help: 'Format of the log: text or json (default "text")' },
  { flag: 'group', short: 'G', key: 'group', type: 'string', help: 'Group that may use the unix socket (default "docker" if it exists)' },
  { flag: 'tls', key: 'tls', type: 'bool', help: 'Use TLS on TCP sockets; implied by --tlsverify' },
  { flag: 'tlsverify', key: 'tlsverify', type: 'bool', help: 'Use TLS and demand a client certificate' },
  { flag: 'tlscacert', key: 'tlscacert', type: 'string', help: 'Trust client certificates signed by this CA (default "~/.docker/ca.pem")' },
  { flag: 'tlscert', key: 'tlscert', type: 'string', help: 'TLS certificate file (default "~/.docker/cert.pem")' },
  { flag: 'tlskey', key: 'tlskey', type: 'string', help: 'TLS key file (default "~/.docker/key.pem")' },
  {
    flag: 'allow-insecure-tcp',
    key: 'allow-insecure-tcp',
    type: 'bool',
    help: 'Listen on TCP without TLS: whoever can connect is root on this machine',
  },
  {
    flag: 'bridge',
    short: 'b',
    key: 'bridge',
    type: 'string',
    help: 'Name of the default bridge interface; "none" turns the default bridge network off',
  },
  { flag: 'bip', key: 'bip', type: 'string', help: 'Address and prefix length of the default bridge, such as 172.17.0.1/16' },
  { flag: 'fixed-cidr', key: 'fixed-cidr', type: 'string', help: 'Part of the default bridge subnet to allocate from' },
  { flag: 'mtu', key: 'mtu', type: 'int', help: 'MTU of the default bridge network (default 1500)' },
  { flag: 'icc', key: 'icc', type: 'bool', help: 'Let containers on the default bridge reach each other (default true)' },
  { flag: 'ip', key: 'ip', type: 'string', help: 'Host address for published ports that name none (default "0.0.0.0")' },
  { flag: 'ip-forward', key: 'ip-forward', type: 'bool', help: 'Turn on IP forwarding (default true)' },
  { flag: 'ip-masq', key: 'ip-masq', type: 'bool', help: 'Masquerade traffic leaving the default bridge (default true)' },
  {
    flag: 'default-address-pool',
    key: 'default-address-pools',
    type: 'list',
    help: 'Pool for new networks: base=CIDR,size=N (repeatable)',
  },
  { flag: 'dns', key: 'dns', type: 'list', help: 'DNS server for containers (repeatable)' },
  { flag: 'dns-opt', key: 'dns-opts', type: 'list', help: 'DNS option for containers (repeatable)' },
  { flag: 'dns-search', key: 'dns-search', type: 'list', help: 'DNS search domain for containers (repeatable)' },
  {
    flag: 'default-runtime',
    key: 'default-runtime',
    type: 'string',
    help: 'OCI runtime for containers that name none (default "crun" if installed, else "runc")',
  },
  { flag: 'add-runtime', key: 'runtimes', type: 'object', help: 'Register an OCI runtime: name=path (repeatable)' },
  { flag: 'init', key: 'init', type: 'bool', help: 'Run an init inside every container by default' },
  { flag: 'init-path', key: 'init-path', type: 'string', help: 'Path of the init (default: tini or docker-init from PATH)' },
  { flag: 'cgroup-parent', key: 'cgroup-parent', type: 'string', help: 'Parent cgroup of all containers' },
  { flag: 'cpu-rt-period', key: 'cpu-rt-period', type: 'int', help: 'Period of real-time processor time in microseconds (cgroup v1)' },
  {
    flag: 'cpu-rt-runtime',
    key: 'cpu-rt-runtime',
    type: 'int',
    help: 'Real-time processor time of all containers together in each period, in microseconds (cgroup v1)',
  },
  {
    flag: 'default-cgroupns-mode',
    key: 'default-cgroupns-mode',
    type: 'string',
    help: 'Cgroup namespace of containers: private or host (default "private")',
  },
  {
    flag: 'default-ipc-mode',
    key: 'default-ipc-mode',
    type: 'string',
    help: 'IPC mode of containers: private or shareable (default "private")',
  },
  { flag: 'default-shm-size', key: 'default-shm-size', type: 'bytes', help: 'Size of /dev/shm in containers (default 64MiB)' },
  { flag: 'default-ulimit', key: 'default-ulimits', type: 'object', help: 'Ulimit for containers: type=soft[:hard] (repeatable)' },
  { key: 'default-stop-timeout', type: 'int', help: 'Seconds a container gets to stop before it is killed (default 10)' },
  { flag: 'no-new-privileges', key: 'no-new-privileges', type: 'bool', help: 'Set no-new-privileges on every container' },
  {
    flag: 'seccomp-profile',
    key: 'seccomp-profile',
    type: 'string',
    help: 'Seccomp profile file; "builtin" or "unconfined" (default "builtin")',
  },
  {
    flag: 'userns-remap',
    key: 'userns-remap',
    type: 'string',
    help: 'User (and group) whose subordinate ids containers get: user[:group], or "default"',
  },
  { flag: 'registry-mirror', key: 'registry-mirrors', type: 'list', help: 'Mirror of docker.io to ask first (repeatable)' },
  {
    flag: 'insecure-registry',
    key: 'insecure-registries',
    type: 'list',
    help: 'Registry or network that may be used without verified TLS (repeatable)',
  },
  {
    flag: 'max-concurrent-downloads',
    key: 'max-concurrent-downloads',
    type: 'int',
    help: 'Layers downloaded at once per pull (default 3)',
  },
  {
    flag: 'max-concurrent-uploads',
    key: 'max-concurrent-uploads',
    type: 'int',
    help: 'Layers uploaded at once per push (default 5)',
  },
  { flag: 'max-download-attempts', key: 'max-download-attempts', type: 'int', help: 'Attempts per download (default 5)' },
  {
    flag: 'log-driver',
    key: 'log-driver',
    type: 'string',
    help: 'Logging driver of containers that name none: json-file, local, syslog, journald, fluentd, gelf, none (default "json-file")',
  },
  { flag: 'log-opt', key: 'log-opts', type: 'map', help: 'Option of the default logging driver: key=value (repeatable)' },
  { flag: 'label', key: 'labels', type: 'list', help: 'Label of this daemon: key=value (repeatable)' },
  {
    flag: 'shutdown-timeout',
    key: 'shutdown-timeout',
    type: 'int',
    help: 'Seconds to let requests in progress finish at shutdown (default 15)',
  },
  { flag: 'experimental', key: 'experimental', type: 'bool', help: 'Report experimental features as enabled' },
  {
    flag: 'live-restore',
    key: 'live-restore',
    type: 'bool',
    accepted: 'containers always outlive the daemon',
    help: 'Always on',
  },
  { flag: 'storage-driver', short: 's', key: 'storage-driver', type: 'string', help: 'Storage driver: overlay2' },
  {
    flag: 'userland-proxy',
    key: 'userland-proxy',
    type: 'bool',
    accepted: 'a proxy runs only where NAT cannot do the work',
    help: 'Accepted for compatibility',
  },
  {
    flag: 'iptables',
    key: 'iptables',
    type: 'bool',
    accepted: 'rules live in an nftables table of their own',
    help: 'Accepted for compatibility',
  },
  {
    flag: 'ip6tables',
    key: 'ip6tables',
    type: 'bool',
    accepted: 'rules live in an nftables table of their own',
    help: 'Accepted for compatibility',
  },
  {
    flag: 'exec-opt',
    key: 'exec-opts',
    type: 'list',
    accepted: 'cgroups are managed directly (native.cgroupdriver=cgroupfs)',
    help: 'Accepted for compatibility',
  },
  { flag: 'raw-logs', key: 'raw-logs', type: 'bool', accepted: 'the log has no colours', help: 'Accepted for compatibility' },
  { key: 'builder', type: 'object', help: 'Build cache: {"gc": {"enabled": true, "defaultKeepStorage": "20GB"}}' },
  { key: 'features', type: 'object', accepted: 'no optional features', help: 'Accepted for compatibility' },
];

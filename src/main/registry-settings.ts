/**
 * Every setting of the registry once: its key in the configuration file, what kind of value it takes, its flag. The keys are those of the reference
 * registry's configuration where it has the same thing (distribution, configuration reference); `accepted` ones configure what Berth does in one
 * way only: they are read so that existing files work.
 */
export interface RegistrySetting {
  readonly key: string;
  readonly type: 'string' | 'bool' | 'int' | 'bytes' | 'duration' | 'list' | 'map' | 'objects';
  readonly flag?: string;
  readonly short?: string;
  readonly help: string;
  readonly accepted?: string;
}

export const registrySettings: readonly RegistrySetting[] = [
  { key: 'version', type: 'string', help: 'Version of the configuration format: 0.1' },
  {
    key: 'log.level',
    type: 'string',
    flag: 'log-level',
    short: 'l',
    help: 'Least severe level to log: debug, info, warn, error (default "info")',
  },
  { key: 'log.formatter', type: 'string', flag: 'log-format', help: 'Format of the log: text or json (default "text")' },
  {
    key: 'storage.filesystem.rootdirectory',
    type: 'string',
    flag: 'data',
    short: 'd',
    help: 'Directory to store images in (default "/var/lib/berth/registry")',
  },
  { key: 'storage.s3.bucket', type: 'string', flag: 's3-bucket', help: 'Store images in this S3 bucket instead' },
  { key: 'storage.s3.region', type: 'string', help: 'Region of the bucket' },
  { key: 'storage.s3.regionendpoint', type: 'string', flag: 's3-endpoint', help: "URL of the S3 service (default: Amazon's)" },
  { key: 'storage.s3.accesskey', type: 'string', help: 'Access key id (default: from AWS_ACCESS_KEY_ID)' },
  { key: 'storage.s3.secretkey', type: 'string', help: 'Secret access key (default: from AWS_SECRET_ACCESS_KEY)' },
  { key: 'storage.s3.sessiontoken', type: 'string', help: 'Session token (default: from AWS_SESSION_TOKEN)' },
  { key: 'storage.s3.rootdirectory', type: 'string', help: 'Prefix of every key' },
  { key: 'storage.s3.chunksize', type: 'bytes', help: 'Size of the parts of multipart uploads (default 16MiB)' },
  { key: 'storage.s3.multipartcopymaxconcurrency', type: 'int', help: 'Requests to the bucket at once (default 8)' },
  { key: 'storage.s3.virtualhosted', type: 'bool', help: 'Name the bucket in the host instead of the path' },
  {
    key: 'storage.staging',
    type: 'string',
    help: 'Local directory for what is being uploaded, with S3 (default "/var/lib/berth/registry-staging")',
  },
  { key: 'storage.delete.enabled', type: 'bool', help: 'Allow tags, manifests and blobs to be deleted (default true)' },
  { key: 'storage.redirect.disable', type: 'bool', help: 'Pass bytes on instead of sending clients to the bucket (default true)' },
  { key: 'storage.maintenance.readonly.enabled', type: 'bool', flag: 'read-only', help: 'Refuse every change' },
  {
    key: 'storage.maintenance.uploadpurging.age',
    type: 'duration',
    help: 'Remove uploads that nobody goes on with after this time (default 168h)',
  },
  { key: 'http.addr', type: 'string', flag: 'addr', short: 'a', help: 'Address and port to listen on (default "127.0.0.1:5000")' },
  { key: 'http.host', type: 'string', flag: 'external-url', help: 'How clients reach the registry, such as https://registry.example.com' },
  { key: 'http.tls.certificate', type: 'string', flag: 'tls-cert', help: 'File with the certificate and what it is signed by' },
  { key: 'http.tls.key', type: 'string', flag: 'tls-key', help: 'File with the key of the certificate' },
  {
    key: 'http.tls.clientcas',
    type: 'list',
    flag: 'tls-client-ca',
    help: 'Demand client certificates signed by this authority (repeatable)',
  },
  { key: 'http.headers', type: 'map', help: 'Headers to send with every answer' },
  { key: 'http.draintimeout', type: 'duration', flag: 'drain-timeout', help: 'Time for requests in progress at shutdown (default 30s)' },
  {
    key: 'http.idletimeout',
    type: 'duration',
    help: 'Close connections on which nothing moves for this time, at most 255s (default 120s)',
  },
  { key: 'http.debug.addr', type: 'string', flag: 'debug-addr', help: 'Address and port for metrics and health' },
  { key: 'http.debug.prometheus.path', type: 'string', help: 'Path of the metrics (default "/metrics")' },
  { key: 'auth.htpasswd.realm', type: 'string', help: 'What clients show when they ask for a password (default "Berth registry")' },
  { key: 'auth.htpasswd.path', type: 'string', flag: 'htpasswd', help: 'File of users and bcrypt hashes, as "htpasswd -B" makes it' },
  {
    key: 'auth.htpasswd.challenge',
    type: 'string',
    help: 'How to ask for credentials: basic, or bearer with tokens of the registry itself (default: bearer if anonymous users may do anything)',
  },
  { key: 'auth.htpasswd.tokenlifetime', type: 'duration', help: 'Lifetime of such tokens (default 5m)' },
  { key: 'auth.htpasswd.tokenkey', type: 'string', help: 'File of the key that signs them; made when missing' },
  { key: 'auth.token.realm', type: 'string', help: 'URL of the token server' },
  { key: 'auth.token.service', type: 'string', help: 'Name of this registry, which tokens are for' },
  { key: 'auth.token.issuer', type: 'string', help: 'Name of the token server, which tokens are from' },
  { key: 'auth.token.rootcertbundle', type: 'string', help: 'File of certificates that tokens are signed with' },
  { key: 'auth.token.jwks', type: 'string', help: 'File of public keys that tokens are signed with (JWKS)' },
  {
    key: 'auth.anonymous',
    type: 'string',
    flag: 'anonymous',
    help: 'What users without credentials may do: none or pull (default "none")',
  },
  { key: 'access', type: 'objects', help: 'Who may do what: list of {repositories, users, actions}' },
  { key: 'quota.total', type: 'bytes', flag: 'quota', help: 'Most bytes to store altogether' },
  { key: 'quota.repositories', type: 'objects', help: 'Most bytes of repositories: list of {repositories, limit}' },
  { key: 'proxy.remoteurl', type: 'string', flag: 'proxy', help: 'Be a pull-through cache of this registry' },
  { key: 'proxy.username', type: 'string', help: 'User there' },
  { key: 'proxy.password', type: 'string', help: 'Password there' },
  { key: 'proxy.ttl', type: 'duration', help: 'Remove what nobody asked for in this time; 0: never (default 168h)' },
  { key: 'upstreams', type: 'objects', help: 'Further registries to cache: list of {prefix, remoteurl, username, password, ttl}' },
  { key: 'gc.interval', type: 'duration', flag: 'gc-interval', help: 'Collect what nothing refers to this often; 0: never (default 24h)' },
  { key: 'gc.grace', type: 'duration', flag: 'gc-grace', help: 'Keep what clients sent or asked for within this time (default 1h)' },
  { key: 'gc.untagged', type: 'bool', flag: 'gc-untagged', help: 'Collect manifests that no tag reaches as well' },
  { key: 'audit.path', type: 'string', flag: 'audit', help: 'Write an audit log to this file; "-" for standard output' },
  { key: 'notifications.endpoints', type: 'objects', help: 'Hooks: list of {name, url, headers, timeout, threshold, backoff, ignore}' },
  { key: 'notifications.events.includereferences', type: 'bool', help: 'Tell hooks what a pushed manifest refers to' },
  { key: 'catalog.maxentries', type: 'int', help: 'Most names in one answer of the catalog (default 1000)' },
  { key: 'tags.maxtags', type: 'int', help: 'Most tags in one answer (default 1000)' },
  { key: 'validation.manifests.maxbytes', type: 'bytes', help: 'Largest manifest (default 4MiB)' },
  {
    key: 'validation.manifests.indexes.platforms',
    type: 'string',
    help: 'Which manifests of an index have to be there: all or none (default "all")',
  },
  ...accepted('log.accesslog', 'requests are in the audit log'),
  ...accepted('log.fields', 'the log has fields of its own'),
  ...accepted('log.hooks', 'the log is for whoever runs the program'),
  ...accepted('storage.cache', 'what is asked for often is kept in memory'),
  ...accepted('storage.filesystem.maxthreads', 'the number of threads adapts'),
  ...accepted('storage.maintenance.uploadpurging', 'unfinished uploads are always removed in time'),
  ...accepted('storage.s3.secure', 'the endpoint is a URL'),
  ...accepted('storage.s3.v4auth', 'requests are always signed in version 4'),
  ...accepted('storage.s3.forcepathstyle', 'the bucket is in the path unless storage.s3.virtualhosted says otherwise'),
  ...accepted('storage.tag', 'there is nothing to look up'),
  ...accepted('http.secret', 'nothing that clients bring back is signed'),
  ...accepted('http.relativeurls', 'locations are relative unless http.host is given'),
  ...accepted('http.net', 'it is always TCP'),
  ...accepted('http.http2', 'the protocol is HTTP/1.1'),
  ...accepted('http.h2c', 'the protocol is HTTP/1.1'),
  ...accepted('http.tls.minimumtls', 'TLS 1.2 is the oldest version'),
  ...accepted('http.tls.ciphersuites', 'the defaults are used'),
  ...accepted('http.debug.prometheus.enabled', 'metrics are always there'),
  ...accepted('health', 'the storage is always watched'),
  ...accepted('auth.token.autoredirect', 'the realm is a setting'),
  ...accepted('compatibility', 'schema version 1 is withdrawn'),
];

function accepted(key: string, why: string): RegistrySetting[] {
  return [{ key, type: 'string', help: '', accepted: why }];
}

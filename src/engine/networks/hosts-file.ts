/** The text of a container's /etc/hosts. */
export interface HostsFile {
  readonly hostname: string;
  readonly domainname: string;
  /** The container's own, in the order of its interfaces. */
  readonly addresses: readonly string[];
  /** `name:address` as given, `host-gateway` already replaced. */
  readonly extraHosts: readonly HostEntry[];
  /** Whether names that only IPv6 has belong in it. */
  readonly ipv6: boolean;
}

export interface HostEntry {
  readonly name: string;
  readonly address: string;
}

export function formatHostsFile(file: HostsFile): string {
  const lines = ['127.0.0.1\tlocalhost'];
  if (file.ipv6) {
    lines.push(
      '::1\tlocalhost ip6-localhost ip6-loopback',
      'fe00::\tip6-localnet',
      'ff00::\tip6-mcastprefix',
      'ff02::1\tip6-allnodes',
      'ff02::2\tip6-allrouters',
    );
  }
  for (const { name, address } of file.extraHosts) lines.push(`${address}\t${name}`);
  // A hostname may hold its domain itself.
  const whole = file.domainname === '' ? file.hostname : `${file.hostname}.${file.domainname}`;
  const [first] = whole.split('.');
  const names = first === whole ? whole : `${whole} ${String(first)}`;
  if (file.hostname !== '') for (const address of file.addresses) lines.push(`${address}\t${names}`);
  return `${lines.join('\n')}\n`;
}

/** Splits `name:address`; the address may be IPv6, and `name=address` is understood as well. Undefined when one half is missing. */
export function parseExtraHost(text: string): HostEntry | undefined {
  const match = /^([^:=]+)[:=](.+)$/.exec(text);
  if (match === null) return undefined;
  const [, name = '', address = ''] = match;
  return { name, address: address.replace(/^\[(.*)\]$/, '$1') };
}

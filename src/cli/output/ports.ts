import type { PortSummary } from '#api/types/container.ts';

const joinHostPort = (host: string, port: string): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

interface Range {
  first: number;
  last: number;
}

/** The PORTS column: neighbouring ports that are published as they are become a range, the others stand alone and last. */
export function formatPorts(ports: readonly PortSummary[] | null): string {
  const ranges = new Map<string, Range>();
  const done: string[] = [];
  const mapped: string[] = [];
  for (const port of (ports ?? []).toSorted(comparePorts)) {
    const { PrivatePort: inside, PublicPort: outside = 0, IP: ip = '', Type: type } = port;
    if (ip !== '' && outside !== inside) {
      mapped.push(`${joinHostPort(ip, String(outside))}->${inside}/${type}`);
      continue;
    }
    const key = `${ip}/${type}`;
    const range = ranges.get(key);
    if (range !== undefined && inside === range.last + 1) range.last = inside;
    else {
      if (range !== undefined) done.push(formatRange(key, range));
      if (range === undefined) ranges.set(key, { first: inside, last: inside });
      else Object.assign(range, { first: inside, last: inside });
    }
  }
  for (const [key, range] of ranges) done.push(formatRange(key, range));
  return [...done, ...mapped].join(', ');
}

function formatRange(key: string, { first, last }: Range): string {
  const slash = key.lastIndexOf('/');
  const [ip, type] = [key.slice(0, slash), key.slice(slash + 1)];
  const ports = first === last ? String(first) : `${first}-${last}`;
  return `${ip === '' ? ports : `${joinHostPort(ip, ports)}->${ports}`}/${type}`;
}

function comparePorts(a: PortSummary, b: PortSummary): number {
  if (a.PrivatePort !== b.PrivatePort) return a.PrivatePort - b.PrivatePort;
  if (a.IP !== b.IP) return (a.IP ?? '') < (b.IP ?? '') ? -1 : 1;
  if (a.PublicPort !== b.PublicPort) return (a.PublicPort ?? 0) - (b.PublicPort ?? 0);
  return a.Type < b.Type ? -1 : a.Type > b.Type ? 1 : 0;
}

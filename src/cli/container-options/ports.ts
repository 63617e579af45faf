import type { PortBinding } from '#api/types/network.ts';
import { isIP } from './addresses.ts';

export interface ParsedPorts {
  readonly exposed: Record<string, object>;
  readonly bindings: Record<string, PortBinding[]>;
}

interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** `80` or `8000-8010`. */
export function parsePortRange(text: string): PortRange {
  if (text === '') throw new Error('empty string specified for ports');
  const parts = /^(\d+)(?:-(\d+))?$/.exec(text);
  const first = Number(parts?.[1]);
  const last = Number(parts?.[2] ?? parts?.[1]);
  if (parts === null || first > 65535 || last > 65535)
    throw new Error(`invalid port range ${JSON.stringify(text)}: ports are numbers from 0 to 65535`);
  if (last < first) throw new Error(`invalid range specified for port: ${text}`);
  return { first, last };
}

/** Reads what `-p` was given: `[[ip:]host:]container[/protocol]`, each port perhaps a range, or `published=…,target=…,protocol=…`. */
export function parsePublished(specs: readonly string[]): ParsedPorts {
  const parsed: ParsedPorts = { exposed: {}, bindings: {} };
  for (const spec of specs) addPublished(parsed, toShortForm(spec));
  return parsed;
}

function toShortForm(spec: string): string {
  if (!spec.includes('=')) return spec;
  const fields: Record<string, string> = { protocol: 'tcp' };
  for (const field of spec.split(',')) {
    const at = field.indexOf('=');
    if (at < 1) throw new Error(`invalid publish opts format (should be name=value but got '${field}')`);
    fields[field.slice(0, at)] = field.slice(at + 1);
  }
  return `${fields.published ?? ''}:${fields.target ?? ''}/${fields.protocol ?? 'tcp'}`;
}

function addPublished(parsed: ParsedPorts, spec: string): void {
  const { ip, hostText, containerText } = splitPublished(spec);
  const slash = containerText.indexOf('/');
  const protocol = (slash < 0 ? 'tcp' : containerText.slice(slash + 1)).toLowerCase();
  const portText = slash < 0 ? containerText : containerText.slice(0, slash);
  if (ip !== '' && !isIP(ip)) throw new Error(`invalid IP address: ${ip}`);
  if (portText === '') throw new Error(`no port specified: ${spec}<empty>`);
  const inside = rangeOr(portText, `invalid containerPort: ${portText}`);
  const outside = hostText === '' ? undefined : rangeOr(hostText, `invalid hostPort: ${hostText}`);
  const count = inside.last - inside.first;
  // One port inside may take any free port of a range outside.
  const anyOf = outside !== undefined && count === 0 && outside.last > outside.first;
  if (outside !== undefined && !anyOf && outside.last - outside.first !== count) {
    throw new Error(`invalid ranges specified for container and host Ports: ${portText} and ${hostText}`);
  }
  if (!['tcp', 'udp', 'sctp'].includes(protocol)) throw new Error(`invalid proto: ${containerText.slice(slash + 1)}`);
  for (let i = 0; i <= count; i++) {
    const key = `${inside.first + i}/${protocol}`;
    const HostPort = outside === undefined ? '' : anyOf ? `${outside.first}-${outside.last}` : String(outside.first + i);
    parsed.exposed[key] = {};
    (parsed.bindings[key] ??= []).push({ HostIp: ip, HostPort });
  }
}

function splitPublished(spec: string): { ip: string; hostText: string; containerText: string } {
  const parts = spec.split(':');
  const containerText = parts.pop() ?? '';
  const hostText = parts.pop() ?? '';
  return { ip: parts.join(':').replace(/^\[(.*)\]$/, '$1'), hostText, containerText };
}

function rangeOr(text: string, message: string): PortRange {
  try {
    return parsePortRange(text);
  } catch (err) {
    throw new Error(message, { cause: err });
  }
}

/** Adds what `--expose` was given to the ports that are published. */
export function addExposed(exposed: Record<string, object>, specs: readonly string[]): void {
  for (const spec of specs) {
    if (spec.includes(':')) throw new Error(`invalid port format for --expose: ${spec}`);
    const [portText = '', protocol = 'tcp'] = spec.split('/');
    let range: PortRange;
    try {
      range = parsePortRange(portText);
    } catch (err) {
      throw new Error(`invalid range format for --expose: ${spec}, error: ${err instanceof Error ? err.message : String(err)}`, {
        cause: err,
      });
    }
    for (let port = range.first; port <= range.last; port++) exposed[`${port}/${protocol.toLowerCase()}`] ??= {};
  }
}

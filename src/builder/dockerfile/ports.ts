import { parseIp } from '#base/ip.ts';
import { quote } from './characters.ts';
import { PartError } from './flags.ts';

/** What an `EXPOSE` word stands for, and what it says that it should not. */
export interface ExposedPorts {
  /** `80/tcp`, one for each port of a range. */
  readonly ports: readonly string[];
  /** The protocol is not in lower case. */
  readonly hasUpperCase: boolean;
  /** It has an address or a port of the host. */
  readonly isMapping: boolean;
}

/** Reads `[[ip:]host:]port[-end][/protocol]`. Throws PartError. */
export function parseExposedPort(word: string): ExposedPorts {
  const parts = word.split(':');
  const target = parts.at(-1) ?? '';
  const hostPort = parts.at(-2) ?? '';
  const address = parts.slice(0, -2).join(':');
  const slash = target.indexOf('/');
  const range = slash < 0 ? target : target.slice(0, slash);
  const protocol = slash < 0 || slash === target.length - 1 ? 'tcp' : target.slice(slash + 1);
  if (range === '') throw new PartError(`invalid port: ${quote(word)}: no port specified`);
  if (!['tcp', 'udp', 'sctp'].includes(protocol.toLowerCase())) {
    throw new PartError(`invalid port: ${quote(word)}: invalid proto: ${protocol} (expected tcp, udp or sctp)`);
  }
  const bare = address.replace(/^\[(.*)\]$/, '$1');
  if (address !== '' && parseIp(bare) === undefined) throw new PartError(`invalid IP address: ${bare}`);
  const [start, end] = parseRange(range, 'containerPort');
  if (hostPort !== '') {
    const [hostStart, hostEnd] = parseRange(hostPort, 'hostPort');
    if (end !== start && end - start !== hostEnd - hostStart) {
      throw new PartError(`invalid ranges specified for container and host Ports: ${range} and ${hostPort}`);
    }
  }
  return {
    ports: Array.from({ length: end - start + 1 }, (_, index) => `${start + index}/${protocol.toLowerCase()}`),
    hasUpperCase: protocol !== protocol.toLowerCase(),
    isMapping: address !== '' || hostPort !== '',
  };
}

const highest = 65_535;

function parseRange(text: string, what: string): [number, number] {
  const [, first = '', last = first] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? [];
  const [start, end] = [Number(first), Number(last)];
  if (first === '' || start > highest || end > highest || end < start) {
    throw new PartError(`invalid ${what}: ${text} (expected a number from 0 to 65535, or two that make a range)`);
  }
  return [start, end];
}

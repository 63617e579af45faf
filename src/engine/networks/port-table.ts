import type { PublishedPorts } from './model.ts';

type HostSide = Pick<PublishedPorts, 'protocol' | 'hostIp' | 'hostPort' | 'count'>;

/** Which host ports this daemon has given out. */
export class PortTable {
  /** By protocol, then by host address. */
  readonly #taken = new Map<string, Map<string, PortSet>>();
  #lastEphemeral = 0;

  /** All of these ports or none: returns the first that is given out already, on this address, on all, or (where all are asked for) on any. */
  take(ports: HostSide): number | undefined {
    const byAddress = this.#addresses(ports.protocol);
    const wildcard = wildcardOf(ports.hostIp);
    for (const [address, set] of byAddress) {
      const meets = ports.hostIp === wildcard ? wildcardOf(address) === wildcard : address === ports.hostIp || address === wildcard;
      const found = meets ? set.firstOf(ports.hostPort, ports.count) : undefined;
      if (found !== undefined) return found;
    }
    const own = byAddress.get(ports.hostIp) ?? new PortSet();
    byAddress.set(ports.hostIp, own);
    own.add(ports.hostPort, ports.count);
    return undefined;
  }

  /** Not taken is fine. */
  release({ protocol, hostIp, hostPort, count }: HostSide): void {
    const byAddress = this.#addresses(protocol);
    const set = byAddress.get(hostIp);
    set?.delete(hostPort, count);
    if (set?.size === 0) byAddress.delete(hostIp);
  }

  /** The port of a range that comes behind the last one chosen this way. */
  nextEphemeral([first, last]: readonly [first: number, last: number]): number {
    const inside = this.#lastEphemeral >= first && this.#lastEphemeral < last;
    this.#lastEphemeral = inside ? this.#lastEphemeral + 1 : first;
    return this.#lastEphemeral;
  }

  /** These have been chosen as well. */
  skipEphemeral(count: number): void {
    this.#lastEphemeral += count;
  }

  #addresses(protocol: string): Map<string, PortSet> {
    const known = this.#taken.get(protocol) ?? new Map<string, PortSet>();
    this.#taken.set(protocol, known);
    return known;
  }
}

/** A bit for each port. */
class PortSet {
  readonly #bits = new Uint8Array(65_536 / 8);
  size = 0;

  firstOf(port: number, count: number): number | undefined {
    for (let at = port; at < port + count; at += 1) if (this.#has(at)) return at;
    return undefined;
  }

  add(port: number, count: number): void {
    for (let at = port; at < port + count; at += 1) {
      if (this.#has(at)) continue;
      this.#flip(at);
      this.size += 1;
    }
  }

  delete(port: number, count: number): void {
    for (let at = port; at < port + count; at += 1) {
      if (!this.#has(at)) continue;
      this.#flip(at);
      this.size -= 1;
    }
  }

  #has(port: number): boolean {
    return ((this.#bits[port >> 3] ?? 0) & (1 << (port & 7))) !== 0;
  }

  #flip(port: number): void {
    this.#bits[port >> 3] = (this.#bits[port >> 3] ?? 0) ^ (1 << (port & 7));
  }
}

const wildcardOf = (address: string): string => (address.includes(':') ? '::' : '0.0.0.0');

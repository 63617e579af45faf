import type { PublishedPort } from './model.ts';

/** Which host ports this daemon has given out. */
export class PortTable {
  /** Host addresses by `protocol:port`. */
  readonly #taken = new Map<string, Set<string>>();
  #lastEphemeral = 0;

  /** False when the port, or the same port on all addresses, is given out already. */
  take(port: Omit<PublishedPort, 'containerPort'>): boolean {
    const key = keyOf(port);
    const addresses = this.#taken.get(key) ?? new Set();
    const wildcard = wildcardOf(port.hostIp);
    const sameFamily = [...addresses].filter(address => wildcardOf(address) === wildcard);
    if (port.hostIp === wildcard ? sameFamily.length > 0 : addresses.has(port.hostIp) || addresses.has(wildcard)) return false;
    this.#taken.set(key, addresses.add(port.hostIp));
    return true;
  }

  /** Not taken is fine. */
  release(port: Omit<PublishedPort, 'containerPort'>): void {
    const key = keyOf(port);
    const addresses = this.#taken.get(key);
    addresses?.delete(port.hostIp);
    if (addresses?.size === 0) this.#taken.delete(key);
  }

  /** Every port of a range once, beginning behind the last one that was chosen this way. */
  *ephemeral([first, last]: readonly [first: number, last: number]): Generator<number> {
    const size = last - first + 1;
    const start = this.#lastEphemeral >= first && this.#lastEphemeral < last ? this.#lastEphemeral + 1 - first : 0;
    for (let step = 0; step < size; step++) {
      const port = first + ((start + step) % size);
      this.#lastEphemeral = port;
      yield port;
    }
  }
}

const keyOf = ({ protocol, hostPort }: Omit<PublishedPort, 'containerPort'>): string => `${protocol}:${String(hostPort)}`;

const wildcardOf = (address: string): string => (address.includes(':') ? '::' : '0.0.0.0');

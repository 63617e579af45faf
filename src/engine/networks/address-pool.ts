import { invalidArgument, permissionDenied, unavailable } from '#base/errors.ts';
import { addressAt, contains, formatIp, formatPrefix, type IpAddress, type Prefix, parseCidr, parseIp, prefixSize } from '#base/ip.ts';
import type { IpamPool } from './model.ts';

/** The addresses of one subnet: which are taken, and which is given next. State lives in the records; this is made from them. */
export class AddressPool {
  readonly subnet: Prefix;
  readonly gateway: IpAddress | undefined;
  readonly #range: Prefix;
  readonly #taken = new Set<bigint>();
  /** No address below this one is free. */
  #lowestFree: bigint;

  constructor(pool: IpamPool) {
    this.subnet = prefixIn(pool.subnet);
    this.#range = pool.ipRange === '' ? this.subnet : prefixIn(pool.ipRange);
    this.gateway = pool.gateway === '' ? undefined : addressIn(pool.gateway);
    this.#lowestFree = this.#range.value;
    this.#take(this.subnet.value);
    if (this.subnet.family === 4 && this.subnet.length < 31) this.#take(this.subnet.value + prefixSize(this.subnet) - 1n);
    if (this.gateway !== undefined) this.#take(this.gateway.value);
    for (const reserved of Object.values(pool.auxiliaryAddresses)) this.#take(addressIn(reserved).value);
  }

  /** The lowest free address of the range. Rejects with Unavailable when there is none. */
  takeNext(): IpAddress {
    const end = this.#range.value + prefixSize(this.#range);
    let value = this.#lowestFree;
    while (this.#taken.has(value)) value += 1n;
    if (value >= end) {
      throw unavailable(
        `no available IPv${String(this.subnet.family)} addresses on this network's address pools: all of ${formatPrefix(this.#range)} are in use`,
      );
    }
    this.#take(value);
    this.#lowestFree = value + 1n;
    return { family: this.subnet.family, value };
  }

  /** Takes this address. Rejects with InvalidArgument outside the subnet, with PermissionDenied `Address already in use: 10.1.0.2`. */
  takeThis(address: IpAddress): void {
    if (!contains(this.subnet, address)) {
      throw invalidArgument(`no configured subnet or ip-range contain the IP address ${formatIp(address)}`);
    }
    if (this.#taken.has(address.value)) throw permissionDenied(`Address already in use: ${formatIp(address)}`);
    this.#take(address.value);
  }

  /** Not taken is fine. */
  release(address: IpAddress): void {
    this.#taken.delete(address.value);
    if (address.value < this.#lowestFree && address.value >= this.#range.value) this.#lowestFree = address.value;
  }

  #take(value: bigint): void {
    this.#taken.add(value);
  }
}

/** Of a network whose addresses nobody here knows of (`--ipam-driver null`). */
export const noPool: IpamPool = { subnet: '0.0.0.0/0', ipRange: '', gateway: '', auxiliaryAddresses: {} };

/** The first usable address of a subnet. */
export const firstAddress = (subnet: Prefix): IpAddress => addressAt(subnet, prefixSize(subnet) > 2n ? 1n : 0n);

function prefixIn(text: string): Prefix {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw invalidArgument(`invalid subnet ${text}: want an address and a prefix length, such as 10.1.0.0/16`);
  return cidr.prefix;
}

function addressIn(text: string): IpAddress {
  const address = parseIp(text);
  if (address === undefined) throw invalidArgument(`invalid IP address: ${text}`);
  return address;
}

import { invalidArgument } from '#base/errors.ts';
import { formatIp, formatPrefix, overlaps, type Prefix, parseCidr } from '#base/ip.ts';
import { firstAddress } from './address-pool.ts';
import type { IpamPool } from './model.ts';

/** An address range that is split into subnets of `size` for networks that name none (daemon.json: default-address-pools). */
export interface AddressPoolSource {
  readonly base: string;
  readonly size: number;
}

export const defaultAddressPools: readonly AddressPoolSource[] = [
  { base: '172.17.0.0/16', size: 16 },
  { base: '172.18.0.0/16', size: 16 },
  { base: '172.19.0.0/16', size: 16 },
  { base: '172.20.0.0/14', size: 16 },
  { base: '172.24.0.0/14', size: 16 },
  { base: '172.28.0.0/14', size: 16 },
  { base: '192.168.0.0/16', size: 20 },
];

/** Overlay networks of different hosts must not meet the bridge networks of any of them. */
const defaultOverlayPools: readonly AddressPoolSource[] = [{ base: '10.0.0.0/8', size: 24 }];

export interface PoolOptions {
  /** Empty: the built-in ones. */
  readonly addressPools: readonly AddressPoolSource[];
  /** From which the IPv6 subnets of this engine are derived. */
  readonly engineId: string;
}

/** A subnet of the pools that the operator configured, or of the built-in ones. Rejects with InvalidArgument when there is none. */
export function choosePool({ addressPools, engineId }: PoolOptions, family: 4 | 6, inUse: readonly Prefix[], driver: string): IpamPool {
  const builtIn = driver === 'overlay' ? defaultOverlayPools : defaultAddressPools;
  const configured = addressPools.length > 0 && driver !== 'overlay' ? addressPools : builtIn;
  const hasFamily = configured.some(pool => parsePrefix(pool.base).family === family);
  const sources = hasFamily ? configured : family === 6 ? [uniqueLocalPool(engineId)] : builtIn;
  const subnet = chooseSubnet(sources, family, inUse);
  return { subnet: formatPrefix(subnet), gateway: formatIp(firstAddress(subnet)), ipRange: '', auxiliaryAddresses: {} };
}

/** The first subnet of these pools that overlaps nothing in use. Rejects with InvalidArgument when there is none. */
export function chooseSubnet(pools: readonly AddressPoolSource[], family: 4 | 6, inUse: readonly Prefix[]): Prefix {
  for (const pool of pools) {
    const base = parsePrefix(pool.base);
    if (base.family !== family) continue;
    const step = 1n << BigInt((family === 4 ? 32 : 128) - pool.size);
    const end = base.value + (1n << BigInt((family === 4 ? 32 : 128) - base.length));
    for (let value = base.value; value < end; ) {
      const candidate: Prefix = { family, value, length: pool.size };
      const obstacle = inUse.find(used => overlaps(used, candidate));
      if (obstacle === undefined) return candidate;
      value = after(candidate, obstacle, step);
    }
  }
  throw invalidArgument(
    'all predefined address pools have been fully subnetted: name a subnet (--subnet), remove networks (network prune), or give the daemon more (default-address-pools)',
  );
}

/** The next candidate behind an obstacle: a big one is skipped whole. */
function after(candidate: Prefix, obstacle: Prefix, step: bigint): bigint {
  const end = obstacle.value + (1n << BigInt((obstacle.family === 4 ? 32 : 128) - obstacle.length));
  const next = candidate.value + step;
  return end > next ? ((end + step - 1n) / step) * step : next;
}

/** The pool for IPv6 networks that name no subnet: a unique local /48 derived from the engine's id (RFC 4193), split into /64. */
export function uniqueLocalPool(engineId: string): AddressPoolSource {
  const digest = new Bun.CryptoHasher('sha256').update(engineId).digest();
  const globalId = digest.readBigUInt64BE(0) & 0xffffffffffn;
  const value = (0xfdn << 120n) | (globalId << 80n);
  return { base: formatPrefix({ family: 6, value, length: 48 }), size: 64 };
}

/** Rejects with InvalidArgument. */
export function parsePrefix(text: string): Prefix {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw invalidArgument(`invalid CIDR address: ${text}`);
  return cidr.prefix;
}

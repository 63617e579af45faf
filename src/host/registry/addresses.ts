import { lookup } from 'node:dns/promises';

/** Tells which addresses a name has; empty when nobody knows. */
export type LookUp = (name: string) => Promise<readonly string[]>;

export const lookUpAddresses: LookUp = async name => {
  try {
    return (await lookup(name, { all: true })).map(({ address }) => address);
  } catch {
    return [];
  }
};

/**
 * Whether a `host[:port]` may be spoken to without a valid certificate: it is named, it is or resolves to an address in a block that is, or to one of this
 * machine itself.
 */
export async function isInsecure(hostPort: string, insecureRegistries: readonly string[], lookUp: LookUp): Promise<boolean> {
  const host = hostOf(hostPort);
  if (host === 'localhost' || insecureRegistries.some(rule => rule === hostPort || rule === host)) return true;
  const blocks = [...loopbackBlocks, ...insecureRegistries.filter(rule => rule.includes('/'))];
  const addresses = toNumber(host) === undefined ? await lookUp(host) : [host];
  return addresses.some(address => blocks.some(block => inBlock(address, block)));
}

const loopbackBlocks = ['127.0.0.0/8', '::1/128'];

export const isLoopback = (host: string): boolean =>
  hostOf(host) === 'localhost' || loopbackBlocks.some(block => inBlock(hostOf(host), block));

/** Without port and brackets. */
export const hostOf = (hostPort: string): string =>
  /^\[.*\]/.test(hostPort) || hostPort.indexOf(':') === hostPort.lastIndexOf(':')
    ? hostPort.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
    : hostPort;

export function inBlock(host: string, block: string): boolean {
  const [base = '', bits] = block.split('/');
  const [address, network] = [toNumber(host), toNumber(base)];
  if (bits === undefined || address === undefined || network === undefined || address.width !== network.width) return false;
  const length = Number(bits);
  if (!Number.isInteger(length) || length < 0 || length > address.width) return false;
  const shift = BigInt(address.width - length);
  return address.value >> shift === network.value >> shift;
}

/** An address as a number with its width in bits; undefined for a name. */
function toNumber(text: string): { readonly value: bigint; readonly width: number } | undefined {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) {
    const parts = text.split('.').map(Number);
    return parts.every(part => part < 256) ? { value: parts.reduce((sum, part) => sum * 256n + BigInt(part), 0n), width: 32 } : undefined;
  }
  if (!/^[0-9a-fA-F:]+$/.test(text) || !text.includes(':')) return undefined;
  const [front = '', back] = text.split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const missing = 8 - groups(front).length - groups(back ?? '').length;
  const all = back === undefined ? groups(front) : [...groups(front), ...Array<string>(Math.max(missing, 0)).fill('0'), ...groups(back)];
  return all.length === 8 ? { value: all.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n), width: 128 } : undefined;
}

import { cut } from '../flags/flag.ts';
import { isIP, isMac } from './addresses.ts';

/** What single flags accept, with the words for what they do not. Each returns the value to send. */

export function checkExtraHost(value: string): string {
  const separator = value.includes('=') ? '=' : ':';
  const [name, address] = cut(value, separator);
  if (address === undefined || name === '' || address === '') throw new Error(`bad format for add-host: ${JSON.stringify(value)}`);
  const bare = address.replace(/^\[(.*)\]$/, '$1');
  if (bare !== 'host-gateway' && !isIP(bare)) throw new Error(`invalid IP address in add-host: ${JSON.stringify(address)}`);
  return `${name}:${bare}`;
}

export function checkIpAddress(value: string): string {
  const address = value.trim();
  if (!isIP(address)) throw new Error(`IP address is not correctly formatted: ${value}`);
  return address;
}

export function checkDnsSearch(value: string): string {
  const domain = value.trim();
  if (domain === '.' || domain === '') return domain;
  const valid =
    /^(:?(:?[a-zA-Z0-9]|(:?[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))(:?\.(:?[a-zA-Z0-9]|(:?[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])))*)\.?\s*$/;
  if (!/[a-zA-Z]/.test(domain) || domain.length >= 255 || !valid.test(domain)) throw new Error(`${value} is not a valid domain`);
  return domain;
}

export function checkLink(value: string): string {
  if (value === '') throw new Error('empty string specified for links');
  const parts = value.split(':');
  if (parts.length > 2) throw new Error(`bad format for links: ${value}`);
  return value;
}

export function checkMac(value: string): string {
  if (!isMac(value)) throw new Error(`${value} is not a valid mac address`);
  return value;
}

const streams = ['stdin', 'stdout', 'stderr'];

export function checkAttach(value: string): string {
  const stream = value.toLowerCase();
  if (!streams.includes(stream)) throw new Error('valid streams are STDIN, STDOUT and STDERR');
  return stream;
}

const sysctls = [
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.sem',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
  'kernel.shm_rmid_forced',
];

export function checkSysctl(value: string): string {
  const [name, setting] = cut(value);
  if (setting === undefined || name.trim() === '') throw new Error(`sysctl '${value}' is not allowed`);
  if (sysctls.includes(name) || name.startsWith('net.') || name.startsWith('fs.mqueue.')) return value;
  throw new Error(`sysctl '${value}' is not allowed`);
}

/** `mode` or `mode:container`, one of `known`. */
export function isNamespaceMode(mode: string, known: readonly string[]): boolean {
  if (mode.startsWith('container:')) return known.includes('container:') && mode.length > 'container:'.length;
  return known.includes(mode);
}

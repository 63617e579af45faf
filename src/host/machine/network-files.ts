import { readFileSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';

/** The host's hosts file; empty when there is none. */
export const readHosts = (): string => readIfThere('/etc/hosts') ?? '';

const stubOnly = /^\s*nameserver\s+127\.0\.0\.53\s*$/m;

/** The host's resolver configuration. Where systemd-resolved answers on a loopback stub, the file with the real servers behind it. */
export function readResolvConf(): string {
  const text = readIfThere('/etc/resolv.conf') ?? '';
  const servers = text.split('\n').filter(line => /^\s*nameserver\s/.test(line));
  if (servers.length === 1 && stubOnly.test(text)) return readIfThere('/run/systemd/resolve/resolv.conf') ?? text;
  return text;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return undefined;
    throw err;
  }
}

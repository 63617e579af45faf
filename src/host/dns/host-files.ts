import { readFileSync } from 'node:fs';

const loopbackOnly = /^\s*nameserver\s+127\.0\.0\.53\s*$/m;
const behindSystemdResolved = '/run/systemd/resolve/resolv.conf';

/** The host's /etc/hosts and resolv.conf. Where systemd-resolved listens on loopback only, the servers it asks itself. */
export const hostFiles = {
  hosts: (): string => read('/etc/hosts') ?? '127.0.0.1\tlocalhost\n',
  resolvConf: (): string => {
    const text = read('/etc/resolv.conf') ?? '';
    return loopbackOnly.test(text) ? (read(behindSystemdResolved) ?? text) : text;
  },
};

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

import { existsSync } from 'node:fs';
import { cached } from './paths.ts';

/** The stock docker command line: the installed one, else the one of Debian's docker.io that the set-up unpacked. */
export function dockerCommand(): string[] {
  for (const path of ['/usr/local/bin/docker', '/usr/bin/docker', cached('docker/usr/bin/docker')]) {
    if (existsSync(path)) return [path];
  }
  throw new Error('no docker command line: run sh scripts/setup.sh tests');
}

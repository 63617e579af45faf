import { join, resolve } from 'node:path';

export const projectRoot = resolve(import.meta.dir, '../..');

/** A path below .cache, where the set-up keeps what it unpacked and made. */
export const cached = (path: string): string => join(projectRoot, '.cache', path);

/** How to start Berth: the built executable when BERTH_TEST_BINARY names one, else the sources. */
export function berthCommand(): string[] {
  const binary = process.env.BERTH_TEST_BINARY;
  return binary === undefined || binary === ''
    ? [process.execPath, join(projectRoot, 'src/main/berth.ts')]
    : [resolve(projectRoot, binary)];
}

/** PATH with the CRIU that was unpacked for tests, if there is one, before that of the machine. */
export const pathWithCriu = (): string => `${cached('criu')}:${process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin'}`;

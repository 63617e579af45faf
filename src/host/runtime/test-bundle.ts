import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import type { RuntimeSpec } from '#oci/runtime-spec.ts';

/** A root file system of busybox for tests: a few applets in /bin, and a text file that cannot be executed. */
export function makeRoot(root: string): string {
  for (const directory of ['bin', 'proc', 'dev', 'tmp']) mkdirSync(`${root}/${directory}`, { recursive: true });
  cpSync(Bun.which('busybox') ?? '', `${root}/bin/busybox`);
  for (const applet of ['sh', 'cat', 'sleep', 'stty', 'head']) symlinkSync('busybox', `${root}/bin/${applet}`);
  writeFileSync(`${root}/not-executable`, 'text\n');
  return root;
}

export function specOf(root: string, cgroupsPath: string, args: readonly string[], memoryBytes?: number): RuntimeSpec {
  return {
    ociVersion: '1.0.2',
    process: { user: { uid: 0, gid: 0 }, args: [...args], env: ['PATH=/bin'], cwd: '/' },
    root: { path: root },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['mode=755'] },
      { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['newinstance', 'ptmxmode=0666', 'mode=0620'] },
    ],
    linux: {
      namespaces: [{ type: 'pid' }, { type: 'mount' }, { type: 'ipc' }, { type: 'uts' }, { type: 'network' }],
      cgroupsPath,
      resources: memoryBytes === undefined ? {} : { memory: { limit: memoryBytes, swap: memoryBytes } },
    },
  };
}

import { check, cstring, libc } from './libc.ts';

const c = libc({
  mount: { args: ['ptr', 'ptr', 'ptr', 'u64', 'ptr'], returns: 'i32' },
  umount2: { args: ['ptr', 'i32'], returns: 'i32' },
});

const msNosuid = 2n;
const msNodev = 4n;
const msNoexec = 8n;

/** Mounts one cgroup v1 controller on an existing directory. */
export function mountController(controller: string, directory: string): void {
  const flags = msNosuid | msNodev | msNoexec;
  check(
    c.mount(cstring('cgroup'), cstring(directory), cstring('cgroup'), flags, cstring(controller)),
    'mount',
    `${controller} on ${directory}`,
  );
}

export function unmountController(directory: string): void {
  check(c.umount2(cstring(directory), 0), 'umount', directory);
}

/** mount(8) words and the flags of mount(2) they stand for; `clear` takes them away. */
const words: Readonly<Record<string, { readonly flag: bigint; readonly clear?: boolean }>> = {
  defaults: { flag: 0n },
  ro: { flag: 0x1n },
  rw: { flag: 0x1n, clear: true },
  suid: { flag: 0x2n, clear: true },
  nosuid: { flag: 0x2n },
  dev: { flag: 0x4n, clear: true },
  nodev: { flag: 0x4n },
  exec: { flag: 0x8n, clear: true },
  noexec: { flag: 0x8n },
  sync: { flag: 0x10n },
  async: { flag: 0x10n, clear: true },
  remount: { flag: 0x20n },
  mand: { flag: 0x40n },
  nomand: { flag: 0x40n, clear: true },
  dirsync: { flag: 0x80n },
  noatime: { flag: 0x400n },
  atime: { flag: 0x400n, clear: true },
  nodiratime: { flag: 0x800n },
  diratime: { flag: 0x800n, clear: true },
  bind: { flag: 0x1000n },
  rbind: { flag: 0x5000n },
  relatime: { flag: 0x200000n },
  norelatime: { flag: 0x200000n, clear: true },
  strictatime: { flag: 0x1000000n },
  nostrictatime: { flag: 0x1000000n, clear: true },
};

const recursive = 0x4000n;
/** How mounts below are passed on: set after the mount, by a call of its own (mount(2)). */
const propagations: Readonly<Record<string, bigint>> = {
  unbindable: 0x20000n,
  runbindable: 0x20000n | recursive,
  private: 0x40000n,
  rprivate: 0x40000n | recursive,
  slave: 0x80000n,
  rslave: 0x80000n | recursive,
  shared: 0x100000n,
  rshared: 0x100000n | recursive,
};

export interface MountOptions {
  readonly flags: bigint;
  /** Flags of the second call; 0: none. */
  readonly propagation: bigint;
  /** What the file system gets. */
  readonly data: readonly string[];
}

/** Splits the options of a mount into those of the kernel's own and those of the file system, as mount(8) does. */
export function parseMountOptions(text: string): MountOptions {
  let flags = 0n;
  let propagation = 0n;
  const data: string[] = [];
  for (const option of text.split(',').filter(part => part !== '')) {
    const word = words[option];
    if (word !== undefined) flags = word.clear === true ? flags & ~word.flag : flags | word.flag;
    else if (propagations[option] !== undefined) propagation = propagations[option];
    else data.push(option);
  }
  return { flags, propagation, data };
}

/** Flags that a bind takes only when it is mounted once more. */
export const bindIgnores = 0x1n | 0x2n | 0x4n | 0x8n | 0x400n | 0x800n | 0x200000n;

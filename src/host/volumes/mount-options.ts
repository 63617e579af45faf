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
};

/** Splits the options of a mount into those of the kernel's own and those of the file system, as mount(8) does. */
export function parseMountOptions(text: string): { readonly flags: bigint; readonly data: string[] } {
  let flags = 0n;
  const data: string[] = [];
  for (const option of text.split(',').filter(part => part !== '')) {
    const word = words[option];
    if (word === undefined) data.push(option);
    else flags = word.clear === true ? flags & ~word.flag : flags | word.flag;
  }
  return { flags, data };
}

import type { InstalledPackage } from './installed-package.ts';

/** The numbers of what is looked for (rpmtag.h). */
const tags = { name: 1000, version: 1001, release: 1002, epoch: 1003, vendor: 1011, license: 1014, architecture: 1022 } as const;
const entryBytes = 16;
const [int32, text, texts, international] = [4, 6, 8, 9];

/** Reads a header as rpm's database keeps it: counts, entries of four numbers, then their data. Undefined for one that is none. */
export function readRpmHeader(bytes: Uint8Array): InstalledPackage | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.byteLength < 8) return undefined;
  const count = view.getUint32(0);
  const data = 8 + count * entryBytes;
  if (data > view.byteLength) return undefined;
  const values = new Map<number, string>();
  for (let index = 0; index < count; index += 1) {
    const at = 8 + index * entryBytes;
    const [tag, type, offset] = [view.getUint32(at), view.getUint32(at + 4), data + view.getUint32(at + 8)];
    if (offset >= view.byteLength) continue;
    if (type === int32 && offset + 4 <= view.byteLength) values.set(tag, String(view.getUint32(offset)));
    else if (type === text || type === texts || type === international) {
      const end = bytes.indexOf(0, offset);
      values.set(tag, new TextDecoder().decode(bytes.subarray(offset, end === -1 ? undefined : end)));
    }
  }
  const of = (tag: number): string => values.get(tag) ?? '';
  if (of(tags.name) === '') return undefined;
  const epoch = of(tags.epoch);
  return {
    kind: 'rpm',
    name: of(tags.name),
    version: `${epoch === '' || epoch === '0' ? '' : `${epoch}:`}${of(tags.version)}-${of(tags.release)}`,
    architecture: of(tags.architecture),
    license: of(tags.license),
    supplier: of(tags.vendor),
  };
}

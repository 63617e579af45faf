import { invalidArgument, messageOf } from '#base/errors.ts';
import { parseBytes } from '#base/size.ts';

/** What `--storage-opt size=` says: how many bytes the container may write; undefined: no limit. Rejects with InvalidArgument. */
export function storageSize(options: Readonly<Record<string, string>>): number | undefined {
  for (const [key, value] of Object.entries(options)) {
    if (key !== 'size') throw invalidArgument(`unknown storage option "${key}": there is only size, such as --storage-opt size=10G`);
    const sizeBytes = parse(value);
    if (sizeBytes <= 0) throw invalidArgument(`invalid storage option size="${value}": it must be more than nothing`);
    return sizeBytes;
  }
  return undefined;
}

function parse(value: string): number {
  try {
    return parseBytes(value);
  } catch (err) {
    throw invalidArgument(`invalid storage option size="${value}": ${messageOf(err)}`, { cause: err });
  }
}

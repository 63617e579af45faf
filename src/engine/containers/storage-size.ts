import { EngineError, invalidArgument, kindOf, messageOf } from '#base/errors.ts';
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

/** Why a layer of a limited size could not be made, with the option that asked for it; a failure that has nothing to do with one is returned as it is. */
export function explainSize(err: unknown, options: Readonly<Record<string, string>>): unknown {
  const { size } = options;
  if (size === undefined || !['FailedPrecondition', 'InvalidArgument'].includes(kindOf(err))) return err;
  return new EngineError(kindOf(err), `--storage-opt size=${size}: ${messageOf(err)}`, { cause: err });
}

function parse(value: string): number {
  try {
    return parseBytes(value);
  } catch (err) {
    throw invalidArgument(`invalid storage option size="${value}": ${messageOf(err)}`, { cause: err });
  }
}

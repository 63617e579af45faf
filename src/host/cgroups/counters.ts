import { readFileSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import type { Count } from '#core/usage.ts';

/** Reads a number that the kernel wrote. */
export function toCount(text: string | undefined): Count {
  const value = Number(text ?? 0);
  return Number.isSafeInteger(value) ? value : BigInt((text ?? '').trim());
}

/** Two counts, or a count and a factor, without losing digits. */
export function multiply(count: Count, factor: number): Count {
  const product = Number(count) * factor;
  return Number.isSafeInteger(product) ? product : BigInt(count) * BigInt(factor);
}

/** A file of lines `name number`. */
export function toCounts(text: string): ReadonlyMap<string, Count> {
  const counts = new Map<string, Count>();
  for (const line of text.split('\n')) {
    const space = line.indexOf(' ');
    if (space > 0) counts.set(line.slice(0, space), toCount(line.slice(space + 1)));
  }
  return counts;
}

/** The text of a small file of the kernel; undefined when there is none. */
export function readKernelFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1').trimEnd();
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENODEV', 'ESRCH', 'EINVAL', 'EOPNOTSUPP', 'ENOTSUP')) return undefined;
    throw err;
  }
}

import { invalidArgument } from '#base/errors.ts';

/** The third part of `source:destination:mode`. */
export interface MountMode {
  readonly readWrite: boolean;
  /** Empty: not said. */
  readonly propagation: string;
  readonly noCopy: boolean;
}

const propagations = ['private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared'];
const kinds: readonly (readonly string[])[] = [
  ['ro', 'rw'],
  ['z', 'Z'],
  propagations,
  ['nocopy'],
  ['consistent', 'cached', 'delegated', 'default'],
];

export function isMountMode(text: string): boolean {
  const words = text.split(',');
  return (
    words.every(word => kinds.some(kind => kind.includes(word))) &&
    kinds.every(kind => words.filter(word => kind.includes(word)).length <= 1)
  );
}

/** Rejects with InvalidArgument `invalid mode: x`. */
export function parseMountMode(text: string): MountMode {
  if (!isMountMode(text)) throw invalidArgument(`invalid mode: ${text}`);
  const words = text.split(',');
  return {
    readWrite: !words.includes('ro'),
    propagation: words.find(word => propagations.includes(word)) ?? '',
    noCopy: words.includes('nocopy'),
  };
}

export const isPropagation = (text: string): boolean => propagations.includes(text);

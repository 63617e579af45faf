import { invalidArgument } from '#base/errors.ts';

const whiteoutPrefix = '.wh.';
const opaqueMarker = '.wh..wh..opq';

/** A place in a layer: the directory ('' is the root) and the last part of the name ('' for the root itself). */
export interface Place {
  readonly directory: string;
  readonly base: string;
}

/** What a name in a layer tar asks for (OCI image spec, layer.md, Whiteouts). */
export type Meaning =
  | { readonly is: 'member'; readonly place: Place }
  /** This name is gone from the layers below. */
  | { readonly is: 'whiteout'; readonly place: Place }
  /** Everything in this directory is gone from the layers below. */
  | { readonly is: 'opaque'; readonly directory: string }
  /** A file of another format's bookkeeping. */
  | { readonly is: 'ignored' };

/** Rejects with InvalidArgument for a name that leaves the layer. */
export function meaningOf(name: string): Meaning {
  const place = placeOf(name, name);
  if (!place.base.startsWith(whiteoutPrefix)) return { is: 'member', place };
  if (place.base === opaqueMarker) return { is: 'opaque', directory: place.directory };
  if (place.base.startsWith('.wh..wh.')) return { is: 'ignored' };
  const hidden = place.base.slice(whiteoutPrefix.length);
  if (hidden === '' || hidden === '.' || hidden === '..') {
    throw invalidArgument(`refused to unpack the layer: the whiteout "${name}" would remove a directory outside of its own`);
  }
  return { is: 'whiteout', place: { directory: place.directory, base: hidden } };
}

/** Leading `/` and `.` parts do no harm and are dropped. `member` is the entry to name in an error. */
export function placeOf(name: string, member: string): Place {
  let clean = name;
  if (needsCleaning.test(name)) {
    const parts = name.split('/').filter(part => part !== '' && part !== '.');
    if (parts.includes('..')) {
      const through = name === member ? '' : ` (it links to "${name}")`;
      throw invalidArgument(`refused to unpack the layer: "${member}"${through} contains "..", which could leave the layer's directory`);
    }
    clean = parts.join('/');
  }
  const slash = clean.lastIndexOf('/');
  return slash === -1 ? { directory: '', base: clean } : { directory: clean.slice(0, slash), base: clean.slice(slash + 1) };
}

const needsCleaning = /^\/|\/\/|\/$|(?:^|\/)\.\.?(?:\/|$)/;

export const joinPlace = (place: Place): string => (place.directory === '' ? place.base : `${place.directory}/${place.base}`);

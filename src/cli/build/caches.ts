import type { Attributes, TypeAndAttributes } from '#api/buildkit/messages.ts';
import { splitCsv } from '#base/csv.ts';
import { ExitError } from '../errors.ts';
import { cut } from '../flags/flag.ts';
import { findInLayout, noteInLayout } from './layout.ts';

/** Caches of other builds, as the command line names them, with the directories here that they are in. */
export interface Caches {
  readonly entries: readonly TypeAndAttributes[];
  /** Directories by the names of their stores of blobs. */
  readonly stores: ReadonlyMap<string, string>;
}

/** Reads `--cache-from`. A directory that has no such cache is left out: it would only have saved time. */
export function cacheImports(given: readonly string[]): Caches {
  const stores = new Map<string, string>();
  const entries = given.flatMap(parseEntry).flatMap(entry => {
    const { Type, Attrs } = entry;
    if (Type !== 'local') return [entry];
    const directory = required(entry, 'src', '--cache-from');
    const digest = Attrs.digest ?? findInLayout(directory, Attrs.tag ?? 'latest')?.digest;
    if (digest === undefined) return [];
    stores.set(`local:${directory}`, directory);
    return [{ Type, Attrs: { ...Attrs, digest } }];
  });
  return { entries, stores };
}

/** Reads `--cache-to`. */
export function cacheExports(given: readonly string[]): Caches {
  const entries = given.flatMap(parseEntry);
  const stores = new Map<string, string>();
  for (const entry of entries) {
    if (entry.Type === 'local') {
      const directory = required(entry, 'dest', '--cache-to');
      stores.set(`local:${directory}`, directory);
    } else if (entry.Type === 'registry') required(entry, 'ref', '--cache-to');
  }
  return { entries, stores };
}

/** Says in the directories what the daemon has written there. */
export function noteCaches({ entries }: Caches, response: Attributes): void {
  const manifest = response['cache.manifest'];
  if (manifest === undefined) return;
  for (const { Type, Attrs } of entries) {
    if (Type === 'local' && Attrs.dest !== undefined)
      noteInLayout(Attrs.dest, JSON.parse(manifest) as { mediaType: string; digest: string; size: number }, [Attrs.tag ?? 'latest']);
  }
}

/** A name, or several with commas between them, means caches in registries. */
function parseEntry(text: string): TypeAndAttributes[] {
  const fields = splitCsv(text);
  if (fields.every(field => !field.includes('=')))
    return fields.filter(ref => ref !== '').map(ref => ({ Type: 'registry', Attrs: { ref } }));
  const values: Record<string, string> = {};
  for (const field of fields) {
    const [key, value] = cut(field);
    if (value === undefined) throw new ExitError(1, `invalid value ${field}: expected key=value in ${JSON.stringify(text)}`);
    values[key.trim().toLowerCase()] = value;
  }
  const { type = '', ...Attrs } = values;
  if (type === '') throw new ExitError(1, `type required form> ${JSON.stringify(text)}: write type=registry,ref=… for example`);
  return [{ Type: type, Attrs }];
}

function required({ Type, Attrs }: TypeAndAttributes, name: string, flag: string): string {
  const value = Attrs[name] ?? '';
  if (value === '') throw new ExitError(1, `${flag} type=${Type} requires ${name}`);
  return value;
}

/** The images to look for cached steps in, for daemons that know nothing else. */
export const imagesOfCaches = (given: readonly string[]): string[] =>
  given.flatMap(parseEntry).flatMap(({ Type, Attrs }) => (Type === 'registry' && Attrs.ref !== undefined ? [Attrs.ref] : []));

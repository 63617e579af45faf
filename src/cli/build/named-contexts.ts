import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Attributes } from '#api/buildkit/messages.ts';
import { isHttpSource, parseGitReference } from '#builder/dockerfile/git-reference.ts';
import { parseImageName } from '../container-options/image-name.ts';
import { ExitError } from '../errors.ts';
import { cut } from '../flags/flag.ts';
import type { SyncDirectory } from './context-sync.ts';
import { findInLayout } from './layout.ts';

/** `--build-context`: other things that a Dockerfile can name. */
export interface NamedContexts {
  readonly names: ReadonlySet<string>;
  /** Options of the frontend. */
  readonly options: Attributes;
  /** Directories that are offered, by the names that the options use. */
  readonly directories: Readonly<Record<string, SyncDirectory>>;
  /** Directories with OCI layouts, by the names of their stores of blobs. */
  readonly stores: ReadonlyMap<string, string>;
}

/** Reads `--build-context name=value`. */
export function parseNamedContexts(given: readonly string[]): NamedContexts {
  const options: Record<string, string> = {};
  const directories: Record<string, SyncDirectory> = {};
  const stores = new Map<string, string>();
  const names = new Set<string>();
  for (const text of given) {
    const [written, value] = cut(text);
    if (value === undefined || written === '' || value === '') throw new ExitError(1, `invalid context value: ${text}, expected key=value`);
    const name = nameOf(written);
    names.add(name);
    if (/^docker-image:\/\//.test(value) || isHttpSource(value) || (parseGitReference(value) !== undefined && !isDirectory(value)))
      options[`context:${name}`] = value;
    else if (value.startsWith('oci-layout://')) {
      const store = `layout-${String(stores.size)}`;
      const { directory, reference } = parseLayout(value, text);
      stores.set(`oci:${store}`, directory);
      options[`context:${name}`] = `oci-layout://${store}${reference}`;
    } else if (value.startsWith('target:'))
      throw new ExitError(
        1,
        `invalid context value: ${text}: targets of other builds are known in bake files only; build that target with --tag first, and name it with docker-image://`,
      );
    else {
      // These two names are the build's own.
      const local = name === 'context' || name === 'dockerfile' ? `_${name}` : name;
      directories[local] = { kind: 'disk', root: directoryOf(value) };
      options[`context:${name}`] = `local:${local}`;
    }
  }
  return { names, options, directories, stores };
}

/** Stages and images are looked for by their short names. */
function nameOf(text: string): string {
  try {
    const name = parseImageName(text.toLowerCase());
    if (name !== undefined) return name.familiar.replace(/:latest$/, '');
  } catch {
    // Said below, with the name.
  }
  throw new ExitError(1, `invalid context name ${text}`);
}

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

function directoryOf(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw new ExitError(1, `failed to get build context ${path}: no such file or directory`);
  if (!stats.isDirectory()) throw new ExitError(1, `failed to get build context path ${path}: not a directory`);
  return resolve(path);
}

/** `oci-layout://path[:tag][@digest]`. */
function parseLayout(value: string, text: string): { readonly directory: string; readonly reference: string } {
  const [, path = '', tag = 'latest', given] = /^oci-layout:\/\/([^:@]+)(?::([\w.-]+))?(?:@(.+))?$/.exec(value) ?? [];
  if (path === '') throw new ExitError(1, `invalid context value: ${text}, expected oci-layout://path[:tag][@digest]`);
  const directory = directoryOf(path);
  const digest = given ?? findInLayout(directory, tag)?.digest;
  if (digest === undefined)
    throw new ExitError(1, `oci-layout reference ${JSON.stringify(value)} could not be resolved: ${path} has no image ${tag}`);
  return { directory, reference: `:${tag}@${digest}` };
}

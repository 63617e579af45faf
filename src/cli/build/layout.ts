import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface LayoutIndex {
  readonly schemaVersion: 2;
  readonly mediaType?: string;
  readonly manifests: readonly Descriptor[];
}

const refName = 'org.opencontainers.image.ref.name';
const fullName = 'io.containerd.image.name';

/** What an OCI layout has under a tag. Undefined when it has nothing, or is none. */
export function findInLayout(directory: string, tag: string): Descriptor | undefined {
  const { manifests } = readIndex(directory);
  const isNamed = ({ annotations = {} }: Descriptor): boolean =>
    annotations[refName] === tag || annotations[fullName]?.endsWith(`:${tag}`) === true;
  // A layout with one image has no need for names.
  return manifests.find(isNamed) ?? (manifests.length === 1 && tag === 'latest' ? manifests[0] : undefined);
}

/** Gives a manifest tags in an OCI layout; what had them before loses them. */
export function noteInLayout(directory: string, descriptor: Descriptor, tags: readonly string[], names: readonly string[] = []): void {
  mkdirSync(directory, { recursive: true });
  const named = tags.map((tag, index) => ({
    ...descriptor,
    annotations: { ...descriptor.annotations, ...(names[index] !== undefined && { [fullName]: names[index] }), [refName]: tag },
  }));
  const others = readIndex(directory).manifests.filter(
    ({ annotations, digest }) =>
      !tags.includes(annotations?.[refName] ?? '') && !(digest === descriptor.digest && annotations?.[refName] === undefined),
  );
  const index: LayoutIndex = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [...others, ...(named.length === 0 ? [descriptor] : named)],
  };
  replaceFile(join(directory, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  replaceFile(join(directory, 'index.json'), JSON.stringify(index));
}

function readIndex(directory: string): LayoutIndex {
  try {
    return JSON.parse(readFileSync(join(directory, 'index.json'), 'utf8')) as LayoutIndex;
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return { schemaVersion: 2, manifests: [] };
    throw err;
  }
}

function replaceFile(path: string, text: string): void {
  writeFileSync(`${path}.tmp`, text);
  renameSync(`${path}.tmp`, path);
}

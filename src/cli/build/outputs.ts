import { statSync } from 'node:fs';
import { splitCsv } from '#base/csv.ts';
import type { Attributes } from '#api/buildkit/messages.ts';
import { ExitError } from '../errors.ts';
import { cut } from '../flags/flag.ts';
import { checkOutputPath } from '../output/file.ts';
import { parseImageName } from '../container-options/image-name.ts';
import { annotationAttributes } from './annotations.ts';
import type { BuildFlags } from './flags.ts';

/** Where a result goes. */
export interface OutputSpec {
  /** `image`: it stays with the daemon, or is pushed. `docker`, `oci`: an archive of the image. `tar`, `local`: its files. Others are for the daemon to know. */
  readonly type: string;
  readonly attributes: Attributes;
  /** A path here; empty: the standard output. Undefined: the daemon keeps or sends it. */
  readonly destination: string | undefined;
}

export interface Outputs {
  readonly specs: readonly OutputSpec[];
  /** The image stays with the daemon, under its names. */
  readonly isImage: boolean;
}

const imageTypes = ['image', 'docker', 'oci'];

const failed = (text: string): ExitError => new ExitError(1, `ERROR: failed to build: ${text}`);

/** Reads `--output`, `--push`, `--load`, `--tag` and `--annotation`. */
export function parseOutputs(flags: Pick<BuildFlags, 'output' | 'push' | 'load' | 'tag' | 'annotation'>, isTerminal: boolean): Outputs {
  const given = flags.output.map(parseOutput);
  const isOnlyCache = given.length > 0 && given.every(({ type }) => type === 'cacheonly');
  let specs = given.filter(({ type }) => type !== 'cacheonly');
  if (flags.push) {
    const push = (spec: OutputSpec): OutputSpec => ({ ...spec, attributes: { ...spec.attributes, push: 'true' } });
    specs = specs.some(({ type }) => type === 'image')
      ? specs.map(spec => (spec.type === 'image' ? push(spec) : spec))
      : [...specs, push(kept)];
  }
  if ((flags.load || (specs.length === 0 && !isOnlyCache)) && !specs.some(({ type }) => type === 'image')) specs.push(kept);
  specs = specs.map(spec => withNames(spec, flags.tag, annotationAttributes(flags.annotation)));
  if (specs.some(({ type, attributes }) => type === 'image' && attributes.push === 'true' && (attributes.name ?? '') === ''))
    throw failed('tag is needed when pushing to registry');
  for (const spec of specs) checkDestination(spec, isTerminal);
  return { specs, isImage: specs.some(({ type }) => type === 'image') };
}

const kept: OutputSpec = { type: 'image', attributes: {}, destination: undefined };

function parseOutput(text: string): OutputSpec {
  const fields = splitCsv(text);
  const [only = ''] = fields;
  if (fields.length === 1 && !only.includes('=')) return shortOutput(only);
  const values = Object.fromEntries(
    fields.map(field => {
      const [key, value] = cut(field);
      if (value === undefined) throw failed(`invalid value ${field}: expected key=value in --output`);
      return [key.trim().toLowerCase(), value];
    }),
  );
  const { type = '', dest, ...attributes } = values;
  switch (type) {
    case '':
      throw failed(`type is required for output: ${JSON.stringify(text)}`);
    case 'registry':
      return { type: 'image', attributes: { ...attributes, push: 'true' }, destination: undefined };
    case 'docker':
      // Without a place here it is for the daemon's own images.
      return dest === undefined ? { ...kept, attributes } : { type, attributes, destination: pathOf(dest) };
    case 'oci':
    case 'tar':
      return { type, attributes, destination: pathOf(dest ?? '') };
    case 'local':
      if (dest === undefined || dest === '') throw failed('dest is required for local output');
      return { type, attributes, destination: dest };
    default:
      return { type, attributes, destination: undefined };
  }
}

const pathOf = (dest: string): string => (dest === '-' ? '' : dest);

function shortOutput(text: string): OutputSpec {
  const isArchive = text === '-' || (text.endsWith('.tar') && statSync(text, { throwIfNoEntry: false })?.isDirectory() !== true);
  return { type: isArchive ? 'tar' : 'local', attributes: {}, destination: pathOf(text) };
}

/** An image has the names that its own output gives, or else those of `--tag`. */
function withNames(spec: OutputSpec, tags: readonly string[], annotations: Attributes): OutputSpec {
  if (!imageTypes.includes(spec.type)) return spec;
  const name = tags.map(tag => parseImageName(tag)?.familiar ?? tag).join(',');
  return { ...spec, attributes: { ...(name !== '' && { name }), ...annotations, ...spec.attributes } };
}

export const isDirectoryOutput = ({ type, attributes }: OutputSpec): boolean =>
  type === 'local' || ((type === 'oci' || type === 'docker') && /^(0|f|false)$/i.test(attributes.tar ?? ''));

function checkDestination(spec: OutputSpec, isTerminal: boolean): void {
  const { type, destination } = spec;
  if (destination === undefined) return;
  if (isDirectoryOutput(spec)) {
    if (destination === '') throw failed(`dest is required for the ${type} exporter with tar=false`);
    if (statSync(destination, { throwIfNoEntry: false })?.isDirectory() === false)
      throw failed(`destination ${JSON.stringify(destination)} is a file: expected a directory`);
  } else if (destination !== '') checkOutputPath(destination);
  else if (isTerminal) throw failed(`dest file is required for ${type} exporter. refusing to write to console`);
}

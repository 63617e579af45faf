import { mkdirSync } from 'node:fs';
import { splitCsv } from '#base/csv.ts';
import type { Client } from '#client/client.ts';
import type { Cli } from '../cli.ts';
import { registryAuthFor } from '../config/registry-auth.ts';
import { parseImageName } from '../container-options/image-name.ts';
import { ExitError } from '../errors.ts';
import { cut } from '../flags/flag.ts';
import { checkOutputPath, writeStream } from '../output/file.ts';
import { showProgress } from '../output/progress.ts';
import type { BuildFlags } from './request.ts';

export type OutputSpec =
  | { readonly type: 'image'; readonly push: boolean }
  /** An archive that `docker load` takes; to stdout when the destination is empty. */
  | { readonly type: 'docker'; readonly destination: string }
  /** The root file system: an archive of it, or its files. */
  | { readonly type: 'tar'; readonly destination: string }
  | { readonly type: 'local'; readonly destination: string };

export interface Outputs {
  readonly specs: readonly OutputSpec[];
  /** The image stays with the daemon, under its names. */
  readonly isImage: boolean;
}

/** Reads `--output`, `--push` and `--load`. */
export function parseOutputs(flags: Pick<BuildFlags, 'output' | 'push' | 'load' | 'tag' | 'quiet'>): Outputs {
  const specs = flags.output.map(parseOutput);
  if (flags.push) specs.push({ type: 'image', push: true });
  if (flags.load || specs.length === 0) specs.push({ type: 'image', push: false });
  if (specs.some(spec => spec.type === 'image' && spec.push) && flags.tag.length === 0) {
    throw new ExitError(1, 'ERROR: failed to build: tag is needed when pushing to registry');
  }
  for (const spec of specs) {
    if (spec.type !== 'image' && spec.destination !== '' && spec.type !== 'local') checkOutputPath(spec.destination);
  }
  return { specs, isImage: specs.some(spec => spec.type === 'image') };
}

function parseOutput(text: string): OutputSpec {
  const fields = splitCsv(text);
  const [only = ''] = fields;
  if (fields.length === 1 && !only.includes('='))
    return only === '-' ? { type: 'tar', destination: '' } : { type: 'local', destination: only };
  const values = new Map(fields.map(field => [cut(field)[0].trim().toLowerCase(), cut(field)[1] ?? '']));
  const type = values.get('type') ?? '';
  const destination = values.get('dest') ?? '';
  switch (type) {
    case 'image':
    case 'registry':
      return { type: 'image', push: type === 'registry' || values.get('push') === 'true' };
    case 'docker':
      return values.has('dest') ? { type, destination: destination === '-' ? '' : destination } : { type: 'image', push: false };
    case 'tar':
      return { type, destination: destination === '-' ? '' : destination };
    case 'local':
      if (destination === '') throw new ExitError(1, 'ERROR: failed to build: dest is required for local output');
      return { type, destination };
    case '':
      throw new ExitError(1, `ERROR: failed to build: type is required for output: ${JSON.stringify(text)}`);
    default:
      throw new ExitError(
        1,
        `ERROR: failed to build: output type ${JSON.stringify(type)} is not supported: expected docker, image, local, registry or tar`,
      );
  }
}

export interface Delivery {
  readonly imageId: string;
  readonly tags: readonly string[];
  readonly quiet: boolean;
  readonly signal: AbortSignal;
}

/** Brings an image that has been built where it is wanted. One that nobody wants as an image is removed in the end. */
export async function deliver(cli: Cli, { specs, isImage }: Outputs, delivery: Delivery): Promise<void> {
  const client = await cli.client();
  const { imageId, signal } = delivery;
  try {
    for (const spec of specs) {
      if (spec.type === 'image') {
        if (spec.push) await pushAll(cli, client, delivery);
      } else if (spec.type === 'docker') {
        await writeStream(
          cli,
          await client.images.save(isImage && delivery.tags.length > 0 ? delivery.tags : [imageId], { signal }),
          spec.destination,
        );
      } else await exportRoot(cli, client, spec, delivery);
    }
  } finally {
    if (!isImage) await removeUnnamed(client, imageId);
  }
}

async function pushAll(cli: Cli, client: Client, { tags, quiet, signal }: Delivery): Promise<void> {
  for (const tag of tags) {
    const name = parseImageName(tag);
    if (name === undefined) continue;
    const registryAuth = await registryAuthFor(cli, name.repository);
    await showProgress(await client.images.push(name.repository, { tag: name.tag, registryAuth, signal }), quiet ? undefined : cli.err);
  }
}

/** Takes the root file system out of a container that is never started. */
async function exportRoot(
  cli: Cli,
  client: Client,
  spec: OutputSpec & { type: 'tar' | 'local' },
  { imageId, signal }: Delivery,
): Promise<void> {
  const { Id } = await client.containers.create({ Image: imageId, Cmd: ['/'] }, { signal });
  try {
    const response = await client.connection.send('GET', `/containers/${Id}/export`, { signal });
    const body = response.body ?? new Blob([]).stream();
    if (spec.type === 'tar') await writeStream(cli, body, spec.destination);
    else await unpack(body, spec.destination);
  } finally {
    await client.containers.remove(Id, { force: true });
  }
}

async function unpack(archive: ReadableStream<Uint8Array>, directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const child = Bun.spawn(['tar', '-x', '--no-same-owner', '--delay-directory-restore', '-f', '-', '-C', directory], {
    stdin: archive,
    stdout: 'ignore',
    stderr: 'pipe',
  });
  const [errors, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
  if (exitCode !== 0) throw new ExitError(1, `ERROR: failed to build: unpacking into ${directory} failed: ${errors.trim()}`);
}

async function removeUnnamed(client: Client, imageId: string): Promise<void> {
  const image = await client.images.inspect(imageId).catch(() => undefined);
  if (image === undefined || image.RepoTags.length > 0) return;
  // Somebody else may use it meanwhile: then it stays.
  await client.images.remove(imageId).catch(() => undefined);
}

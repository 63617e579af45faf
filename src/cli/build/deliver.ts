import { mkdirSync } from 'node:fs';
import type { Client } from '#client/client.ts';
import type { Cli } from '../cli.ts';
import { registryAuthFor } from '../config/registry-auth.ts';
import { parseImageName } from '../container-options/image-name.ts';
import { ExitError } from '../errors.ts';
import { writeStream } from '../output/file.ts';
import { showProgress } from '../output/progress.ts';
import type { Outputs } from './outputs.ts';

export interface Delivery {
  readonly imageId: string;
  readonly tags: readonly string[];
  readonly quiet: boolean;
  readonly signal: AbortSignal;
}

/** Brings an image where it is wanted, for daemons that do not do that by themselves. One that nobody wants as an image is removed in the end. */
export async function deliver(cli: Cli, { specs, isImage }: Outputs, delivery: Delivery): Promise<void> {
  const client = await cli.client();
  const { imageId, signal } = delivery;
  try {
    for (const spec of specs) {
      if (spec.type === 'image') {
        if (spec.attributes.push === 'true') await pushAll(cli, client, delivery);
      } else if (spec.type === 'docker') {
        await writeStream(
          cli,
          await client.images.save(isImage && delivery.tags.length > 0 ? delivery.tags : [imageId], { signal }),
          spec.destination ?? '',
        );
      } else await exportRoot(cli, client, spec.type, spec.destination ?? '', delivery);
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
async function exportRoot(cli: Cli, client: Client, type: string, destination: string, { imageId, signal }: Delivery): Promise<void> {
  const { Id } = await client.containers.create({ Image: imageId, Cmd: ['/'] }, { signal });
  try {
    const response = await client.connection.send('GET', `/containers/${Id}/export`, { signal });
    const body = response.body ?? new Blob([]).stream();
    if (type === 'tar') await writeStream(cli, body, destination);
    else await unpack(body, destination);
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

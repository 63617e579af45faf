import { chmod, chown, mkdir, rename } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { invalidArgument } from '#base/errors.ts';
import { parseReference, withDefaultTag } from '#oci/reference.ts';
import type { Platform } from '#oci/platform.ts';
import type { GraphNode, SourceWork } from './graph.ts';
import type { NodeInputs } from './node-inputs.ts';
import type { Tree } from './tree.ts';

/** Brings the files of a source here. Rejects with InvalidArgument for one that is not known. */
export async function fetchSource(inputs: NodeInputs, node: GraphNode, work: SourceWork): Promise<Tree> {
  const { session, request } = inputs;
  const { sources } = request;
  const result = sources.result(work);
  if (result !== undefined) {
    for (const layer of result.layers)
      if (!(await session.workspace.hold(layer))) throw invalidArgument(`${work.identifier} is gone: its build has ended`);
    return { kind: 'layers', layers: result.layers, config: result.config };
  }
  const [, scheme = '', rest = ''] = /^([a-z+-]+):\/\/(.*)$/s.exec(work.identifier) ?? [];
  const platform = node.platform ?? session.platform;
  switch (scheme) {
    case 'docker-image':
      return await fetchImage(inputs, node, work, rest, platform);
    case 'oci-layout': {
      const { layers, config } = await sources.layout(work, session.workspace, platform, session.signal);
      return { kind: 'layers', layers, config };
    }
    case 'local':
      return directory(await sources.directory(work, session.signal), node.name);
    case 'git':
      return directory(await checkOut(inputs, work, rest), node.name);
    case 'http':
    case 'https':
      return directory(await download(inputs, work), node.name);
    default:
      throw invalidArgument(
        `the source ${JSON.stringify(work.identifier)} is not known: expected docker-image, local, git, http, https or oci-layout`,
      );
  }
}

const directory = (root: string, title: string): Tree => ({ kind: 'directory', source: { root, keepOwners: true }, title });

async function fetchImage(
  { session, request, observer }: NodeInputs,
  { digest }: GraphNode,
  { attributes }: SourceWork,
  name: string,
  platform: Platform,
): Promise<Tree> {
  const { workspace, signal } = session;
  const reference = withDefaultTag(parseReference(name));
  const here = attributes['image.resolvemode'] === 'pull' ? undefined : await workspace.find(name, platform);
  const report = (progress: Parameters<typeof observer.progress>[1]): void => observer.progress(digest, progress);
  const image = here ?? (await workspace.pull(reference, platform, await request.authOf(reference.domain), report, signal));
  return { kind: 'layers', layers: image.layers, config: image.config };
}

async function checkOut({ session }: NodeInputs, { attributes }: SourceWork, identifier: string): Promise<string> {
  const [remote = '', fragment = ''] = identifier.split('#', 2);
  const [ref = '', subdirectory = ''] = fragment.split(':', 2);
  const root = await session.directory('git');
  const url = attributes['git.fullurl'];
  await session.context.remotes.checkout(
    {
      url: url === undefined || url === '' ? `https://${remote}` : url,
      ref,
      subdirectory,
      keepGitDirectory: attributes['git.keepgitdir'] === 'true',
      checksum: attributes['git.checksum'],
      submodules: attributes['git.skipsubmodules'] !== 'true',
    },
    root,
    session.signal,
  );
  return root;
}

async function download({ session }: NodeInputs, { identifier, attributes }: SourceWork): Promise<string> {
  const root = await session.directory('download');
  await mkdir(root, { recursive: true });
  const { path } = await session.context.remotes.download(identifier, root, { checksum: attributes['http.checksum'] }, session.signal);
  const name = attributes['http.filename'];
  const place = name === undefined || name === '' ? path : join(root, posix.basename(name));
  if (place !== path) await rename(path, place);
  const mode = Number.parseInt(attributes['http.perm'] ?? '', 8);
  if (!Number.isNaN(mode)) await chmod(place, mode & 0o7777);
  await chown(place, Number(attributes['http.uid'] ?? 0), Number(attributes['http.gid'] ?? 0));
  return root;
}

import type { Client } from '#client/client.ts';
import type { ContainerPathStat } from '#api/types/container.ts';
import { type NewTarFile, writeTar } from '#oci/tar/writer.ts';
import type { Cli } from '../../cli.ts';
import { defineCommand, exactArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import {
  absolutePath,
  checkCopyTarget,
  type CopyEnd,
  type CopyPlan,
  type CopySource,
  followedPath,
  localDestination,
  localSource,
  planCopy,
  splitArgument,
  splitPath,
} from '../../files/copy-paths.ts';
import { CopyMeter } from '../../files/copy-meter.ts';
import { localMembers } from '../../files/local-archive.ts';
import { unpackHere } from '../../files/unpack-here.ts';
import { bool } from '../../flags/flag.ts';
import { writeStream } from '../../output/file.ts';

interface Options {
  readonly container: string;
  readonly from: string;
  readonly to: string;
  readonly archive: boolean;
  readonly followLink: boolean;
  readonly quiet: boolean;
}

export const command = defineCommand({
  usage: '[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n[OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH',
  names: ['container cp', 'cp'],
  short: 'Copy files between a container and this machine',
  long: [
    'Copy files between a container and this machine',
    '',
    "Use '-' as the source to read a tar archive from stdin and unpack it into a directory of a container.",
    "Use '-' as the destination to write a tar archive of what is in a container to stdout.",
  ].join('\n'),
  args: exactArgs(2),
  flags: {
    archive: bool("Give what is copied to the container's own user and group", { short: 'a' }),
    'follow-link': bool('Copy what a symbolic link SRC_PATH leads to', { short: 'L' }),
    quiet: bool('Say nothing while copying; so by default when there is no terminal', { short: 'q' }),
  },
  async run(cli, { flags, args, changed }) {
    const [source = '', destination = ''] = args;
    if (source === '') throw new ExitError(1, 'source can not be empty');
    if (destination === '') throw new ExitError(1, 'destination can not be empty');
    const [from, to] = [splitArgument(source), splitArgument(destination)];
    if (from.container !== '' && to.container !== '') throw new ExitError(1, 'copying between containers is not supported');
    if (from.container === '' && to.container === '') throw new ExitError(1, 'must specify at least one container source');
    const options: Options = {
      container: from.container === '' ? to.container : from.container,
      from: from.path,
      to: to.path,
      archive: flags.archive,
      followLink: flags['follow-link'],
      quiet: changed.has('quiet') ? flags.quiet : !cli.out.isTerminal,
    };
    const client = await cli.client();
    await (from.container === '' ? copyToContainer(cli, client, options) : copyFromContainer(cli, client, options));
  },
});

async function copyFromContainer(cli: Cli, client: Client, options: Options): Promise<void> {
  const { container } = options;
  const target = options.to === '-' ? '-' : absolutePath(options.to);
  checkCopyTarget(target);
  const { path, rebaseName } = options.followLink
    ? await followInContainer(client, container, options.from)
    : { path: options.from, rebaseName: '' };
  const { stat, tar } = await client.containers.readArchive(container, path);
  if (target === '-') return await writeStream(cli, tar, '');
  const source: CopySource = { path, exists: true, isDirectory: isDirectory(stat), rebaseName };
  const plan = planCopy(source, localDestination(target));
  const rename = renamer(plan, rebaseName === '' ? undefined : { from: splitPath(path).base, to: rebaseName });
  await using meter = new CopyMeter(cli, 'Copying from container - ', options.quiet);
  await unpackHere(meter.count(tar), plan.directory, rename, await cli.fileAttributes());
  await meter.finish(target);
}

/** What a link in a container leads to; the path itself when it is none, or not there. */
async function followInContainer(client: Client, container: string, path: string): Promise<{ path: string; rebaseName: string }> {
  const stat = await statOrNothing(client, container, path);
  if (stat === undefined || !isLink(stat)) return { path, rebaseName: '' };
  return followedPath(path, linkTarget(path, stat));
}

const linkTarget = (path: string, { linkTarget: target }: ContainerPathStat): string =>
  target.startsWith('/') ? target : `${splitPath(path).directory}/${target}`;

async function copyToContainer(cli: Cli, client: Client, options: Options): Promise<void> {
  const { container } = options;
  const from = options.from === '-' ? '-' : absolutePath(options.from);
  const destination = await destinationInContainer(client, container, options.to);
  const write = async (directory: string, tar: ReadableStream<Uint8Array>): Promise<void> =>
    await client.containers.writeArchive(container, directory, tar, { copyOwner: options.archive });
  if (from === '-') {
    if (!destination.isDirectory) throw new ExitError(1, `destination "${container}:${options.to}" must be a directory`);
    return await write(destination.path, Bun.stdin.stream());
  }
  const source = localSource(from, options.followLink);
  const plan = planCopy(source, destination);
  await using meter = new CopyMeter(cli, 'Copying to container - ', options.quiet);
  const members = localMembers(source, await cli.fileAttributes());
  await write(plan.directory, toStream(meter.count(writeTar(renamed(members, renamer(plan))))));
  await meter.finish(`${container}:${destination.path}`);
}

async function destinationInContainer(client: Client, container: string, asked: string): Promise<CopyEnd> {
  let path = asked;
  let stat = await statOrNothing(client, container, path);
  if (stat !== undefined && isLink(stat)) {
    path = linkTarget(asked, stat);
    stat = await statOrNothing(client, container, path);
  }
  if (stat !== undefined && isDevice(stat)) {
    throw new ExitError(1, `destination "${container}:${asked}" must be a directory or a regular file: got a device`);
  }
  return { path, exists: stat !== undefined, isDirectory: stat !== undefined && isDirectory(stat) };
}

/** A path that is not there may still be copied to; whatever else is wrong shows when it is. */
async function statOrNothing(client: Client, container: string, path: string): Promise<ContainerPathStat | undefined> {
  try {
    return await client.containers.statPath(container, path);
  } catch {
    return undefined;
  }
}

// Bits of Go's file modes (package io/fs, FileMode).
const hasBit = ({ mode }: ContainerPathStat, bit: number): boolean => Math.floor(mode / 2 ** bit) % 2 === 1;
const isDirectory = (stat: ContainerPathStat): boolean => hasBit(stat, 31);
const isLink = (stat: ContainerPathStat): boolean => hasBit(stat, 27);
const isDevice = (stat: ContainerPathStat): boolean => hasBit(stat, 26);

type Replacement = { readonly from: string; readonly to: string };

function renamer(plan: CopyPlan, first?: Replacement): (name: string) => string {
  const steps = [first, plan.rename].filter(step => step !== undefined);
  return name => steps.reduce((renamedName, { from, to }) => renamedName.replace(from, () => to), name);
}

function* renamed(files: Iterable<NewTarFile>, rename: (name: string) => string): Generator<NewTarFile, void, undefined> {
  for (const { entry, ...rest } of files) {
    const linkName = entry.type === 'link' ? { linkName: rename(entry.linkName ?? '') } : {};
    yield { entry: { ...entry, name: rename(entry.name), ...linkName }, ...rest };
  }
}

const toStream = (source: AsyncGenerator<Uint8Array, void, undefined>): ReadableStream<Uint8Array> =>
  new ReadableStream<Uint8Array>({
    async pull(controller) {
      let next = await source.next();
      // Nobody asks again when nothing came.
      while (next.done !== true && next.value.length === 0) next = await source.next();
      if (next.done === true) controller.close();
      else controller.enqueue(new Uint8Array(next.value));
    },
    async cancel() {
      await source.return();
    },
  });

import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { alreadyExists, conflict, EngineError, invalidArgument, isErrno, kindOf, messageOf, notFound } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { shortId } from '#base/id.ts';
import { type Context, containerDir, publish, withContainer } from './context.ts';
import type { Container } from './model.ts';
import type { CheckpointRequest } from './service.ts';
import { isRunning } from './state.ts';

const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** Where a container's checkpoints are: below its own directory, or where the caller keeps them. */
const directoryOf = (ctx: Context, { id }: Container, wanted: string): string => (wanted === '' ? checkpointsDir(ctx, id) : wanted);

export const checkpointsDir = (ctx: Context, id: string): string => join(containerDir(ctx, id), 'checkpoints');

// Being written, being removed: no name of a checkpoint begins with a dot.
const newPrefix = '.new-';
const gonePrefix = '.gone-';

/**
 * Saves what a container's processes are to disk. It is there under its name only when it is whole. Unless it is left running the container ends, and its
 * restart policy lets it rest.
 */
export async function createCheckpoint(ctx: Context, ref: string, request: CheckpointRequest, signal: AbortSignal): Promise<void> {
  await withContainer(ctx, ref, async entry => {
    const { container } = entry;
    if (!isRunning(container.state)) throw conflict(`Container ${ref} not running`);
    if (container.config.tty) throw invalidArgument('checkpoint not support on containers with tty');
    const { name } = request;
    if (!namePattern.test(name)) throw invalidArgument(`Invalid checkpoint ID (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
    const directory = directoryOf(ctx, container, request.directory);
    const target = join(directory, name);
    const refuse = (err: Error): Error =>
      new EngineError(kindOf(err), `cannot checkpoint container ${ref}: ${messageOf(err)}`, { cause: err });
    if (existsSync(target)) throw refuse(occupied(target, name, container));
    const image = join(directory, newPrefix + name);
    const wasManuallyStopped = container.manuallyStopped;
    try {
      rmSync(image, { recursive: true, force: true });
      mkdirSync(image, { recursive: true, mode: 0o700 });
      if (!request.leavesRunning) {
        container.manuallyStopped = true;
        ctx.containers.save(entry);
      }
      failpoint('container.checkpoint.begun');
      await ctx.runtime.checkpoint(container.id, { imagePath: image, leavesRunning: request.leavesRunning }, signal);
      failpoint('container.checkpoint.written');
      renameSync(image, target);
    } catch (err) {
      rmSync(image, { recursive: true, force: true });
      container.manuallyStopped = wasManuallyStopped;
      ctx.containers.save(entry);
      throw new EngineError(kindOf(err), `Cannot checkpoint container ${ref}: ${messageOf(err)}`, { cause: err });
    }
    failpoint('container.checkpoint.named');
    publish(ctx, container, 'checkpoint');
  });
}

const occupied = (path: string, name: string, container: Container): Error =>
  statSync(path).isDirectory()
    ? alreadyExists(`checkpoint with name ${name} already exists for container ${container.name}`)
    : conflict(`${path} exists and is not a directory`);

export function listCheckpoints(ctx: Context, ref: string, directory: string): string[] {
  const { container } = ctx.containers.find(ref);
  try {
    return readdirSync(directoryOf(ctx, container, directory), { withFileTypes: true })
      .filter(each => each.isDirectory() && !each.name.startsWith('.'))
      .map(each => each.name)
      .toSorted();
  } catch (err) {
    if (!isErrno(err, 'ENOENT')) throw err;
    if (directory === '') return [];
    throw notFound(`checkpoint  does not exist for container ${ref}`, { cause: err });
  }
}

/** The directory with a checkpoint. Rejects with NotFound. */
export function findCheckpoint(ctx: Context, container: Container, name: string, directory: string): string {
  const path = join(directoryOf(ctx, container, directory), name);
  if (!namePattern.test(name) || !existsSync(path)) throw notFound(`checkpoint ${name} does not exist for container ${container.name}`);
  if (!statSync(path).isDirectory()) throw conflict(`${path} exists and is not a directory`);
  return path;
}

export function removeCheckpoint(ctx: Context, ref: string, name: string, directory: string): void {
  const { container } = ctx.containers.find(ref);
  const path = findCheckpoint(ctx, container, name, directory);
  // Out of the way at once, also when the rest takes long or does not come to its end.
  const gone = join(directoryOf(ctx, container, directory), gonePrefix + name);
  rmSync(gone, { recursive: true, force: true });
  renameSync(path, gone);
  failpoint('container.checkpoint.removing');
  rmSync(gone, { recursive: true, force: true });
}

/**
 * Deals with what an earlier daemon was writing or removing when it ended. Processes are ended only when all of them is saved: of a container that does not
 * run the checkpoint may be all that is left.
 */
export function sweepCheckpoints(ctx: Context, { id, state }: Container): string[] {
  const directory = checkpointsDir(ctx, id);
  if (!existsSync(directory)) return [];
  const repaired: string[] = [];
  for (const entry of readdirSync(directory).filter(name => name.startsWith('.'))) {
    const path = join(directory, entry);
    const name = entry.replace(/^\.(?:new|gone)-/, '');
    const target = join(directory, name);
    if (entry.startsWith(newPrefix) && !isRunning(state) && readdirSync(path).length > 0 && !existsSync(target)) {
      renameSync(path, target);
      repaired.push(`kept the checkpoint ${name} of container ${shortId(id)}, which ended with it`);
      continue;
    }
    rmSync(path, { recursive: true, force: true });
    repaired.push(`removed the unfinished checkpoint ${name} of container ${shortId(id)}`);
  }
  return repaired;
}

import { cleanUp } from '#base/dispose.ts';
import { conflict, invalidArgument } from '#base/errors.ts';
import type { LogBatch, LoggedRun, LogSubject, OpenLog } from '#core/logs.ts';
import type { Context } from './context.ts';
import type { Entry } from './entry.ts';
import type { Container } from './model.ts';
import type { LogOptions } from './service.ts';
import { isRunning } from './state.ts';

/** What a container has written. Following ends with the run. */
export function readLogs(
  ctx: Context,
  ref: string,
  options: LogOptions,
  signal: AbortSignal,
): { readonly tty: boolean; readonly batches: AsyncIterable<LogBatch> } {
  const entry = ctx.containers.find(ref);
  const { container } = entry;
  if (!options.stdout && !options.stderr) throw invalidArgument('Bad parameters: you must choose at least one stream');
  if (container.state.status === 'removing' || container.state.status === 'dead') {
    throw conflict('can not get logs from container which is dead or marked for removal');
  }
  const { tail, sinceNano, untilNano, stdout, stderr } = options;
  const follow = options.follow && isRunning(container.state) ? { ended: entry.exited ?? Promise.resolve() } : undefined;
  return {
    tty: container.config.tty,
    batches: ctx.logs.read(
      container.id,
      container.hostConfig.logConfig,
      {
        stdout,
        stderr,
        ...(tail === undefined ? {} : { tail }),
        ...(sinceNano === undefined ? {} : { sinceNano }),
        ...(untilNano === undefined ? {} : { untilNano }),
        ...(follow === undefined ? {} : { follow }),
      },
      signal,
    ),
  };
}

/** Gets ready to keep what a run writes: one that is about to begin or, with `goesOn`, one that a daemon before this has begun. */
export async function openLog(ctx: Context, entry: Entry, goesOn: boolean, signal: AbortSignal): Promise<OpenLog | undefined> {
  entry.log = await ctx.logs.open(logSubject(entry.container), loggedRun(ctx, entry, goesOn), signal);
  return entry.log;
}

function loggedRun(ctx: Context, entry: Entry, goesOn: boolean): LoggedRun {
  const { id } = entry;
  return {
    goesOn,
    isFlowing: () => entry.hub?.isFlowing === true,
    beginCapture: () => ctx.runtime.reopenLog(id),
    // A monitor whose clients do not read stops reading from the container.
    hold: async () => {
      const streams = await ctx.runtime.attach({ containerId: id });
      streams.onOutput(() => new Promise(() => undefined));
      return streams;
    },
  };
}

/** The run has ended, or did not come to be: what it wrote can be read when this resolves. */
export async function closeLog(ctx: Context, entry: Entry, options: { readonly removesLog: boolean }): Promise<void> {
  const { log } = entry;
  entry.log = undefined;
  await cleanUp(`log of container ${entry.id}`, ctx.log, () => log?.end(options));
}

/** What a log may say of its container. */
export function logSubject({ id, name, created, imageId, path, args, config, hostConfig }: Container): LogSubject {
  return {
    id,
    name,
    created,
    imageId,
    imageName: config.image,
    entrypoint: path,
    args,
    env: config.env,
    labels: config.labels,
    logConfig: hostConfig.logConfig,
  };
}

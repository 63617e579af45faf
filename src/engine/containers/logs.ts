import { invalidArgument } from '#base/errors.ts';
import type { LogBatch } from '#core/logs.ts';
import type { Context } from './context.ts';
import type { Entry } from './entry.ts';
import { logLimits } from './log-limits.ts';
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
  const { tail, sinceNano, untilNano, stdout, stderr } = options;
  const follow = options.follow && isRunning(container.state) ? { ended: entry.exited ?? Promise.resolve() } : undefined;
  return {
    tty: container.config.tty,
    batches: ctx.logs.read(
      container.id,
      container.hostConfig.logConfig.type,
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

/** Limits the log of a run that is about to begin, or goes on: the monitor begins it anew at this size, and the older files are kept from now on. */
export function limitLog(ctx: Context, entry: Entry): { readonly logMaxBytes?: number } {
  const { logConfig } = entry.container.hostConfig;
  if (ctx.logs.path(entry.id, logConfig.type) === undefined) return {};
  const { maxBytes, files } = logLimits(logConfig);
  if (maxBytes === undefined) return {};
  letGoOfLog(entry);
  entry.logKeeper = ctx.logs.keep(entry.id, files);
  return { logMaxBytes: maxBytes };
}

export function letGoOfLog(entry: Entry): void {
  entry.logKeeper?.[Symbol.dispose]();
  entry.logKeeper = undefined;
}

/** The labels and variables that `--log-opt labels=… env=… tag=…` chose. */
export function logDetails({ config, hostConfig }: Container): Record<string, string> {
  const { labels = '', env = '', tag } = hostConfig.logConfig.config;
  const wanted = (list: string): string[] => list.split(',').filter(name => name !== '');
  const variables = new Map(config.env.map(text => [text.split('=', 1)[0] ?? '', text.slice(text.indexOf('=') + 1)]));
  return Object.fromEntries([
    ...wanted(labels).flatMap(name => (config.labels[name] === undefined ? [] : [[name, config.labels[name]]])),
    ...wanted(env).flatMap(name => (variables.has(name) ? [[name, variables.get(name) ?? '']] : [])),
    ...(tag === undefined ? [] : [['tag', tag]]),
  ]) as Record<string, string>;
}

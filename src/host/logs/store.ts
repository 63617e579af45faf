import { failedPrecondition, messageOf, notImplemented } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { LogBatch, LogConfig, LoggedRun, LogStore, LogSubject, OpenLog, ReadLogs } from '#core/logs.ts';
import { chosenAttributes } from './attributes.ts';
import { captureFormat } from './capture/read.ts';
import { Segments } from './capture/segments.ts';
import { ContainerLog } from './container-log.ts';
import { checkConfig, driverNames, isReadable } from './drivers.ts';
import { jsonFileFormat } from './json-file/read.ts';
import { readLog } from './read-log.ts';
import { type RenderTemplate, renderTag } from './tag.ts';

export interface LogStoreOptions {
  /** Holds a directory per container: `<data-root>/containers`. */
  readonly dir: string;
  readonly log: Logger;
  readonly render: RenderTemplate;
  /** Where systemd's journal listens. */
  readonly journalSocket: string;
}

/** How long the removal of a container waits for a receiver to get the last lines. */
const lastLinesMs = 3000;

export function openLogStore(options: LogStoreOptions): LogStore {
  return new ContainerLogs(options);
}

class ContainerLogs implements LogStore {
  readonly drivers = driverNames;
  readonly #options: LogStoreOptions;
  /** Those that take something or have something to pass on. */
  readonly #open = new Map<string, ContainerLog>();
  readonly #readers = new Map<string, number>();

  constructor(options: LogStoreOptions) {
    this.#options = options;
  }

  check(config: LogConfig): void {
    checkConfig(config);
  }

  path(containerId: string, driver: string): string | undefined {
    return driver === 'json-file' ? this.#jsonPath(containerId) : undefined;
  }

  async open(subject: LogSubject, run: LoggedRun, signal: AbortSignal): Promise<OpenLog | undefined> {
    if (subject.logConfig.type === 'none') return undefined;
    await this.#open.get(subject.id)?.letGo();
    const log = this.#logOf(subject);
    try {
      await log.requireReceiver(run, signal);
    } catch (err) {
      await log.letGo();
      throw failedPrecondition(`failed to initialize logging driver: ${messageOf(err)}`, { cause: err });
    }
    this.#open.set(subject.id, log);
    log.makeCapture(run);
    return {
      capturePath: log.capturePath,
      captureMaxBytes: log.captureMaxBytes,
      begin: () => log.begin(run),
      end: async ({ removesLog }) => {
        // Another run may have begun meanwhile.
        if (this.#open.get(subject.id) !== log) return;
        if (removesLog && !this.#readers.has(subject.id)) await log.giveUp();
        else await log.end();
        this.#forgetWhenFinished(subject.id, log);
      },
    };
  }

  async resume(subject: LogSubject): Promise<boolean> {
    if (subject.logConfig.type === 'none' || this.#open.has(subject.id)) return false;
    const log = this.#logOf(subject);
    if (!log.hasRest) {
      await log.letGo();
      return false;
    }
    this.#open.set(subject.id, log);
    log.begin(undefined);
    await log.end();
    this.#forgetWhenFinished(subject.id, log);
    return true;
  }

  read(containerId: string, config: LogConfig, options: ReadLogs, signal: AbortSignal): AsyncIterable<LogBatch> {
    if (!isReadable(config)) throw notImplemented('configured logging driver does not support reading');
    return this.#read(containerId, config, options, signal);
  }

  details(subject: LogSubject): Record<string, string> {
    const chosen = chosenAttributes(subject);
    const tag = renderTag(subject, '', this.#options.render);
    return tag === '' ? chosen : { ...chosen, tag };
  }

  async forget(containerId: string): Promise<void> {
    const log = this.#open.get(containerId);
    this.#open.delete(containerId);
    await log?.finishWithin(lastLinesMs);
    await log?.letGo();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.values()].map(log => log.letGo()));
  }

  async *#read(containerId: string, config: LogConfig, options: ReadLogs, signal: AbortSignal): AsyncGenerator<LogBatch> {
    this.#readers.set(containerId, (this.#readers.get(containerId) ?? 0) + 1);
    try {
      const log = this.#open.get(containerId);
      if (config.type !== 'json-file') {
        const segments = new Segments(this.#captureDirectory(containerId));
        yield* readLog(captureFormat(segments), segments.directory, options, signal);
        return;
      }
      await log?.caughtUp();
      const format = jsonFileFormat(this.#jsonPath(containerId), log?.plainNames ?? new Map());
      yield* readLog(format, `${this.#options.dir}/${containerId}`, options, signal);
    } finally {
      const rest = (this.#readers.get(containerId) ?? 1) - 1;
      if (rest > 0) this.#readers.set(containerId, rest);
      else this.#readers.delete(containerId);
    }
  }

  #logOf(subject: LogSubject): ContainerLog {
    const { render, journalSocket, log } = this.#options;
    return new ContainerLog({
      subject,
      directory: this.#captureDirectory(subject.id),
      jsonPath: this.#jsonPath(subject.id),
      attributes: () => this.details(subject),
      tools: { render, journalSocket },
      log,
    });
  }

  #forgetWhenFinished(containerId: string, log: ContainerLog): void {
    void log.finished().then(() => {
      if (this.#open.get(containerId) === log) this.#open.delete(containerId);
    });
  }

  #captureDirectory(containerId: string): string {
    return `${this.#options.dir}/${containerId}/log`;
  }

  #jsonPath(containerId: string): string {
    return `${this.#options.dir}/${containerId}/${containerId}-json.log`;
  }
}

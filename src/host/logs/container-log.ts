import type { Logger } from '#base/log.ts';
import type { LoggedRun, LogSubject } from '#core/logs.ts';
import { Capture, type CaptureLimits, watchDirectory } from './capture/capture.ts';
import { earlier } from './capture/pieces.ts';
import { Segments } from './capture/segments.ts';
import { PositionFile } from './delivery/position-file.ts';
import { Pump } from './delivery/pump.ts';
import type { DriverTools, LogDriver, Receiver } from './drivers/driver.ts';
import { copyLimits, keepsCopy, receiverDrivers } from './drivers.ts';
import { type FileLimits, jsonFileLimits, localLimits } from './file-limits.ts';
import { JsonFileWriter } from './json-file/writer.ts';
import { parseBinarySize } from './options.ts';

export interface ContainerLogOptions {
  readonly subject: LogSubject;
  /** Of the capture. */
  readonly directory: string;
  readonly jsonPath: string;
  readonly attributes: () => Readonly<Record<string, string>>;
  readonly tools: DriverTools;
  readonly log: Logger;
}

const megabyte = 1_000_000;
/** A capture that is of no use once it was passed on is dropped in pieces of at most this size. */
const passedOnSegmentBytes = 4 * megabyte;
/** What may wait to be written to a file before the container has to wait. */
const fileBacklogBytes = 128 * megabyte;
/** What a capture may come to while the daemon is away, whatever the limits of the log. */
const leastUnwatchedBytes = 16 * megabyte;
/** What waits for a receiver that is away, where no copy is kept. */
const backlogBytes = 100 * megabyte;
const fileRetryMs = 500;
const receiverRetryMs = 200;

/**
 * The log of one container:
 *
 *   local                  monitor ─▶ capture
 *   json-file              monitor ─▶ capture ─▶ <id>-json.log      (the capture goes as soon as it was passed on)
 *   syslog, fluentd, …     monitor ─▶ capture ─▶ receiver           (the capture is the copy that can be read)
 */
export class ContainerLog {
  readonly capturePath: string;
  readonly captureMaxBytes: number | undefined;
  readonly plainNames = new Map<string, string>();
  readonly #options: ContainerLogOptions;
  readonly #capture: Capture;
  readonly #position: PositionFile | undefined;
  readonly #driver: LogDriver | undefined;
  readonly #dropsPassedOn: boolean;
  #receiver: Receiver | undefined;
  #pump: Pump | undefined;
  #watcher: Disposable | undefined;

  constructor(options: ContainerLogOptions) {
    this.#options = options;
    const { subject, directory, log } = options;
    const { logConfig } = subject;
    this.#driver = receiverDrivers.get(logConfig.type);
    this.#dropsPassedOn = this.#driver === undefined ? logConfig.type === 'json-file' : !keepsCopy(logConfig);
    const limits = this.#captureLimits();
    this.#capture = new Capture(directory, limits, log);
    this.capturePath = new Segments(directory).current;
    this.captureMaxBytes = this.#unwatchedBytes(limits);
    if (logConfig.type !== 'local') this.#position = new PositionFile(`${directory}/position`);
  }

  /** Whether something of a run that has ended was not passed on. */
  get hasRest(): boolean {
    if (this.#position === undefined || this.#position.isDone) return false;
    return this.#capture.sizeAfter(earlier(this.#position.position)) > 0;
  }

  /** Connects, where the user asked that the container does not start without its receiver. Rejects with Unavailable. */
  async requireReceiver(run: LoggedRun, signal: AbortSignal): Promise<void> {
    const { subject, tools } = this.#options;
    const { config } = subject.logConfig;
    if (this.#driver === undefined) return;
    this.#receiver = this.#driver.open(subject, tools);
    if (run.goesOn) return;
    if (config.mode === 'blocking' || this.#driver.mustConnect?.(config) === true) await this.#receiver.connect(signal);
  }

  /** Makes what a run is to write to; the directory for it may have to be made. */
  makeCapture(run: LoggedRun): void {
    this.#capture.begin(run, this.#position === undefined ? 0 : earlier(this.#position.position).segment);
  }

  /** For a run whose capture is made, or for what an ended one has left. */
  begin(run: LoggedRun | undefined): void {
    const { directory } = this.#options;
    if (this.#position === undefined) {
      if (run !== undefined) this.#watcher = watchDirectory(directory, () => this.#capture.keepLimits(undefined));
      this.#capture.keepLimits(undefined);
      return;
    }
    this.#pump = this.#makePump(this.#position);
    this.#pump.start(run);
  }

  /** The run has ended. Resolves when everything can be read that can be written to a file now: on a full disk the rest follows when there is room. */
  async end(): Promise<void> {
    this.#capture.end();
    this.#watcher?.[Symbol.dispose]();
    this.#watcher = undefined;
    if (this.#position === undefined) this.#capture.keepLimits(undefined);
    this.#pump?.endRun();
    if (this.#driver === undefined) await this.caughtUp();
    const finished = this.finished();
    if (this.#driver === undefined && this.#pump?.isFailing !== true) await finished;
  }

  /** The run has ended, and nobody is going to read what it wrote. A receiver still gets it. */
  async giveUp(): Promise<void> {
    if (this.#driver === undefined) await this.letGo();
    else await this.end();
  }

  /** Resolves when there is nothing more to do for a run that has ended. */
  async finished(): Promise<void> {
    await this.#pump?.finished();
    await this.#capture.settled();
    if (this.#dropsPassedOn && this.#pump?.isDone === true) this.#capture.segments.clear();
  }

  /** The log is to go: waits a while for a receiver to get the last lines. One that is away gets none. */
  async finishWithin(milliseconds: number): Promise<void> {
    if (this.#driver === undefined || this.#pump === undefined || this.#pump.isFailing) return;
    this.#pump.endRun();
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, milliseconds);
    await Promise.race([this.#pump.caughtUp(), late.promise]);
    clearTimeout(timer);
  }

  /** Resolves when what was written up to now can be read. */
  async caughtUp(): Promise<void> {
    await this.#pump?.caughtUp();
  }

  /** Stops where it is; the next daemon goes on there. */
  async letGo(): Promise<void> {
    this.#watcher?.[Symbol.dispose]();
    this.#watcher = undefined;
    await this.#pump?.close();
    if (this.#pump === undefined) await this.#receiver?.close();
    this.#position?.close();
    await this.#capture.settled();
  }

  #makePump(position: PositionFile): Pump {
    const { subject, jsonPath, attributes, tools, log } = this.#options;
    const { config } = subject.logConfig;
    const common = { containerId: subject.id, capture: this.#capture, position, log };
    const driver = this.#driver;
    if (driver === undefined) {
      const limits = jsonFileLimits(config);
      return new Pump({
        ...common,
        openSink: (state, saveState) =>
          new JsonFileWriter({ path: jsonPath, ...limits, attributes: attributes(), plainNames: this.plainNames }, state, saveState),
        holdAboveBytes: fileBacklogBytes,
        patientBytes: (fileBacklogBytes * 3) / 4,
        dropAboveBytes: undefined,
        chunkBytes: fileChunkBytes,
        firstRetryMs: fileRetryMs,
        maxRetries: undefined,
      });
    }
    const { mode, 'max-buffer-size': bufferSize } = config;
    const retry = driver.retry?.(config);
    return new Pump({
      ...common,
      openSink: () => this.#receiver ?? driver.open(subject, tools),
      // Before lines would be dropped the container has to wait, if it was asked for.
      holdAboveBytes: mode === 'blocking' ? this.#totalBytes() / 2 : undefined,
      patientBytes: 0,
      dropAboveBytes: bufferSize === undefined ? undefined : parseBinarySize(bufferSize),
      chunkBytes: receiverChunkBytes,
      firstRetryMs: retry?.firstMs ?? receiverRetryMs,
      maxRetries: retry?.most,
    });
  }

  #captureLimits(): CaptureLimits {
    const { logConfig } = this.#options.subject;
    if (this.#dropsPassedOn) {
      const totalBytes = this.#driver === undefined ? undefined : backlogBytes;
      return { segmentBytes: passedOnSegmentBytes, files: Number.POSITIVE_INFINITY, totalBytes, compress: false, dropsPassedOn: true };
    }
    const limits = this.#driver === undefined ? localLimits(logConfig.config) : copyLimits(logConfig);
    const segmentBytes = limits.maxBytes ?? Number.POSITIVE_INFINITY;
    return { segmentBytes, files: limits.files, totalBytes: totalOf(limits), compress: limits.compress, dropsPassedOn: false };
  }

  #totalBytes(): number {
    return this.#dropsPassedOn ? backlogBytes : (totalOf(copyLimits(this.#options.subject.logConfig)) ?? backlogBytes);
  }

  /** A log without a limit has none while the daemon is away either. */
  #unwatchedBytes({ totalBytes }: CaptureLimits): number | undefined {
    const { logConfig } = this.#options.subject;
    const kept = logConfig.type === 'json-file' ? totalOf(jsonFileLimits(logConfig.config)) : totalBytes;
    return kept === undefined ? undefined : Math.max(kept, leastUnwatchedBytes);
  }
}

const fileChunkBytes = 128 * 1024;
/** A daemon that is killed sends at most this much again. */
const receiverChunkBytes = 32 * 1024;

const totalOf = ({ maxBytes, files }: FileLimits): number | undefined => (maxBytes === undefined ? undefined : maxBytes * files);

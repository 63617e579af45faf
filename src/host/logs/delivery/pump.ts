import type { FileHandle } from 'node:fs/promises';
import { messageOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { Logger } from '#base/log.ts';
import { letOthersGoFirst } from '#base/turns.ts';
import type { LoggedRun } from '#core/logs.ts';
import { type Capture, watchDirectory } from '../capture/capture.ts';
import { earlier, type Position, PieceReader } from '../capture/pieces.ts';
import { openForReading } from '../capture/segments.ts';
import type { PositionFile } from './position-file.ts';
import type { OpenSink, Sink } from './sink.ts';
import { spareBuffer } from './spare-buffers.ts';

export interface PumpOptions {
  readonly containerId: string;
  readonly capture: Capture;
  readonly position: PositionFile;
  readonly openSink: OpenSink;
  /** The container waits when more than this has not been passed on; undefined: it never does. */
  readonly holdAboveBytes: number | undefined;
  /** While clients are given output, so much may wait. */
  readonly patientBytes: number;
  /** While a receiver is away, lines beyond this are dropped, the oldest first; undefined: those that the capture drops. */
  readonly dropAboveBytes: number | undefined;
  /** Read, and passed on, at once. */
  readonly chunkBytes: number;
  readonly firstRetryMs: number;
  /** Failures in a row after which what was to be passed on is dropped; undefined: never. */
  readonly maxRetries: number | undefined;
  readonly log: Logger;
}

const patienceMs = 50;
const longestRetryMs = 3000;
const retryGrowth = 1.5;

/**
 * Passes a capture on to a sink, in order, and keeps how far it came, so that the next daemon goes on there. A receiver that is away is tried again and
 * again; the container does not notice unless it is to wait.
 */
export class Pump {
  readonly #options: PumpOptions;
  readonly #sink: Sink;
  readonly #closing = new AbortController();
  #reader: PieceReader;
  #file: { readonly handle: FileHandle; readonly segment: number } | undefined;
  #run: LoggedRun | undefined;
  #runEnded = false;
  #hold: Disposable | undefined;
  #isTakingHold = false;
  #isPausing = false;
  /** All of an ended run was given to the receiver. */
  #isFlushed = false;
  #watcher: Disposable | undefined;
  #changed = true;
  #wake: (() => void) | undefined;
  #idle = false;
  #whenIdle: (() => void)[] = [];
  #failures = 0;
  #lost = false;
  /** Nothing was read yet, and of an earlier run there was nothing left to read. */
  #isFresh: boolean;
  /** Positions that were passed on lately, with when: a receiver that goes away may not have got them. */
  #doubtful: { readonly position: Position; readonly at: number }[] = [];
  #safe: Position;
  #savedSegment = 0;
  #finished: Promise<void> | undefined;

  constructor(options: PumpOptions) {
    this.#options = options;
    const { position, openSink, containerId } = options;
    this.#sink = openSink(position.sink, state => position.saveSink(state));
    this.#sink.onLost?.(() => {
      // What was certain by now stays so, however long it takes until somebody looks.
      this.#settleDoubts();
      this.#lost = true;
      this.#notify();
    });
    this.#reader = new PieceReader(containerId, position.position);
    this.#safe = position.position;
    this.#savedSegment = earlier(position.position).segment;
    this.#isFresh = position.isDone;
  }

  /** Whether the receiver could not be reached the last time. */
  get isFailing(): boolean {
    return this.#failures > 0;
  }

  get isDone(): boolean {
    return this.#options.position.isDone;
  }

  /** Begins, for a run that goes on or, without one, for what an ended one has left. */
  start(run: LoggedRun | undefined): void {
    this.#run = run;
    this.#runEnded = run === undefined;
    const { position } = this.#options;
    const waits = run?.goesOn === false && !position.hasRest;
    if (waits) this.#changed = false;
    if (position.isDone) position.save(position.position, position.sink);
    if (run !== undefined) this.#watcher = watchDirectory(this.#options.capture.segments.directory, () => void this.#onChange());
    this.#finished = this.#pass(waits).catch((err: unknown) =>
      this.#options.log.error('a log cannot be passed on any more', { container: this.#options.containerId, error: err }),
    );
  }

  /** The run has ended. */
  endRun(): void {
    this.#run = undefined;
    this.#runEnded = true;
    this.#watcher?.[Symbol.dispose]();
    this.#watcher = undefined;
    this.#releaseHold();
    this.#notify();
  }

  /** Resolves when everything of an ended run was passed on, or the pump was closed. */
  async finished(): Promise<void> {
    await this.#finished;
  }

  /** Resolves when what the capture held at this moment was passed on, though perhaps not for certain, or cannot be now, or the pump was closed. */
  async caughtUp(): Promise<void> {
    if (this.#isFlushed) return;
    this.#changed = true;
    this.#wake?.();
    const idle = new Promise<void>(resolve => this.#whenIdle.push(resolve));
    await Promise.race([idle, this.#finished]);
  }

  /** Stops where it is. */
  async close(): Promise<void> {
    this.#closing.abort(new DOMException('the log is closed', 'AbortError'));
    this.#watcher?.[Symbol.dispose]();
    this.#notify();
    await this.#finished;
  }

  /** `waits`: there is nothing to pass on yet. */
  async #pass(waits: boolean): Promise<void> {
    const { signal } = this.#closing;
    try {
      if (waits) await this.#nextChange();
      while (!signal.aborted) {
        // Asked before reading: what was written before the end is read after it.
        const isOver = this.#runEnded;
        this.#changed = false;
        if (this.#lost) this.#goBack();
        if (this.#letsClientsGoFirst()) {
          await this.#pause(patienceMs);
          continue;
        }
        if (await this.#step()) {
          await letOthersGoFirst();
          continue;
        }
        // A file that has nothing left is of no use, also when nothing was written to the next one yet.
        if (earlier(this.#reader.position).segment > this.#savedSegment) this.#savePosition(false);
        if (isOver && (await this.#finish())) return;
        if (this.#changed || this.#lost) continue;
        this.#tellWaiting();
        if (!isOver) await this.#change();
      }
    } finally {
      await this.#closeAll();
    }
  }

  #letsClientsGoFirst(): boolean {
    if (this.#run?.isFlowing() !== true || this.#whenIdle.length > 0) return false;
    const { capture, patientBytes } = this.#options;
    return capture.sizeAfter(earlier(this.#safe)) < patientBytes;
  }

  /** Reads and passes on one piece of the capture; false when there is nothing more. */
  async #step(): Promise<boolean> {
    using buffer = spareBuffer(this.#options.chunkBytes);
    const bytesRead = await this.#read(buffer.bytes);
    if (bytesRead === 0) return false;
    this.#reader.push(buffer.bytes.toString('latin1', 0, bytesRead), this.#sink.take);
    const isPassedOn = await this.#flush();
    if (isPassedOn) this.#savePosition(false);
    await this.#keepLimits();
    return true;
  }

  /** Bytes read; 0: there is nothing more. */
  async #read(chunk: Buffer): Promise<number> {
    const { segments } = this.#options.capture;
    for (;;) {
      segments.adopt();
      const files = segments.list();
      const { segment, offset } = this.#reader.next;
      const present = files.find(({ number }) => number === segment);
      // Asked before reading: a file that has a successor is not written to any more.
      const successor = files.find(({ number }) => number > segment);
      if (present !== undefined) {
        const handle = await this.#open(segment, present.path);
        const bytesRead = handle === undefined ? 0 : (await handle.read(chunk, 0, chunk.length, offset)).bytesRead;
        if (bytesRead > 0) return bytesRead;
      }
      if (successor === undefined) return 0;
      if (segment > 0 && (present === undefined || successor.number !== segment + 1) && !this.#isFresh) this.#noteDropped();
      this.#isFresh = false;
      this.#reader.beginSegment(successor.number);
    }
  }

  async #open(segment: number, path: string): Promise<FileHandle | undefined> {
    if (this.#file?.segment === segment) return this.#file.handle;
    await this.#file?.handle.close();
    const handle = await openForReading(path);
    this.#file = handle === undefined ? undefined : { handle, segment };
    return handle;
  }

  /** False when it failed: the reader stands at what was passed on for certain. */
  async #flush(): Promise<boolean> {
    const { signal } = this.#closing;
    try {
      await this.#sink.flush(signal);
      if (this.#failures > 0) this.#options.log.info('a log is passed on again', { container: this.#options.containerId });
      this.#failures = 0;
      return true;
    } catch (err) {
      if (signal.aborted) return false;
      this.#failures += 1;
      const { maxRetries, containerId, log } = this.#options;
      if (this.#failures === 1) log.warn('a log cannot be passed on now', { container: containerId, error: messageOf(err) });
      if (maxRetries !== undefined && this.#failures > maxRetries) {
        log.warn('lines of a log were dropped after too many attempts', { container: containerId, attempts: this.#failures });
        this.#failures = 0;
        return true;
      }
      this.#goBack();
      await this.#dropWhatIsTooMuch();
      // A file that cannot be written now must not keep readers from what it has.
      this.#tellWaiting();
      await this.#keepLimits();
      const { firstRetryMs } = this.#options;
      await this.#pause(Math.min(firstRetryMs * retryGrowth ** (this.#failures - 1), Math.max(longestRetryMs, firstRetryMs)));
      return false;
    }
  }

  async #finish(): Promise<boolean> {
    this.#reader.finish(this.#sink.take);
    if (!(await this.#flush())) return false;
    this.#isFlushed = true;
    this.#tellWaiting();
    // What was given to the receiver last is not certain to have come through until a moment has passed.
    while (this.#doubtful.length > 0 && !this.#lost && !this.#closing.signal.aborted) {
      await this.#pause(this.#sink.doubtMs ?? 0);
      this.#settleDoubts();
    }
    if (this.#lost || this.#closing.signal.aborted) return false;
    this.#savePosition(true);
    return true;
  }

  #savePosition(isDone: boolean): void {
    const { position } = this.#reader;
    failpoint('log.pass.flushed');
    this.#options.position.save(position, this.#sink.state, isDone);
    this.#savedSegment = earlier(position).segment;
    failpoint('log.pass.recorded');
    if (this.#sink.doubtMs === undefined || isDone) this.#safe = position;
    else {
      this.#doubtful.push({ position, at: performance.now() });
      this.#settleDoubts();
    }
  }

  #settleDoubts(): void {
    const certain = performance.now() - (this.#sink.doubtMs ?? 0);
    while (this.#doubtful[0] !== undefined && this.#doubtful[0].at <= certain) this.#safe = this.#doubtful.shift()?.position ?? this.#safe;
  }

  /** Takes up again at the last place that is certain. */
  #goBack(): void {
    this.#lost = false;
    this.#isFlushed = false;
    this.#doubtful = [];
    this.#reader = new PieceReader(this.#options.containerId, this.#safe);
    this.#options.position.save(this.#safe, this.#sink.state);
    this.#savedSegment = earlier(this.#safe).segment;
  }

  async #dropWhatIsTooMuch(): Promise<void> {
    const { dropAboveBytes, capture, containerId } = this.#options;
    if (dropAboveBytes === undefined || capture.sizeAfter(earlier(this.#safe)) <= dropAboveBytes) return;
    const start = await capture.startOfLast(dropAboveBytes);
    this.#safe = { stdout: start, stderr: start };
    this.#reader = new PieceReader(containerId, this.#safe);
    this.#options.position.save(this.#safe, this.#sink.state);
    this.#noteDropped();
  }

  #noteDropped(): void {
    this.#options.log.warn('lines of a log were dropped: its receiver was away for too long', { container: this.#options.containerId });
  }

  async #keepLimits(): Promise<void> {
    const { capture, holdAboveBytes } = this.#options;
    this.#settleDoubts();
    const passedOn = earlier(this.#safe);
    capture.keepLimits(passedOn);
    if (holdAboveBytes === undefined || this.#run === undefined) return;
    const waiting = capture.sizeAfter(passedOn);
    if (waiting > holdAboveBytes) await this.#takeHold(this.#run);
    else if (waiting < holdAboveBytes / 2) this.#releaseHold();
  }

  async #takeHold(run: LoggedRun): Promise<void> {
    if (this.#hold !== undefined || this.#isTakingHold) return;
    this.#isTakingHold = true;
    try {
      this.#hold = await run.hold();
    } catch (err) {
      // It has just ended: then it writes no more.
      this.#options.log.debug('a container could not be held', { container: this.#options.containerId, error: err });
    }
    this.#isTakingHold = false;
    if (this.#runEnded || this.#closing.signal.aborted) this.#releaseHold();
  }

  #releaseHold(): void {
    this.#hold?.[Symbol.dispose]();
    this.#hold = undefined;
  }

  async #change(): Promise<void> {
    await this.#keepLimits();
    await this.#nextChange();
  }

  async #nextChange(): Promise<void> {
    if (this.#changed || this.#runEnded || this.#closing.signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    // What was given away lately becomes certain by time alone, and a container that waits for that is to go on.
    const timer = this.#hold === undefined ? undefined : setTimeout(resolve, this.#sink.doubtMs ?? patienceMs);
    await promise;
    clearTimeout(timer);
    this.#wake = undefined;
  }

  /** Limits hold also while a receiver is away and nothing is read. */
  async #onChange(): Promise<void> {
    this.#notify();
    if (this.#isPausing) await this.#keepLimits();
  }

  async #pause(milliseconds: number): Promise<void> {
    const { signal } = this.#closing;
    if (signal.aborted) return;
    this.#isPausing = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, milliseconds);
    const stop = (): void => resolve();
    signal.addEventListener('abort', stop, { once: true });
    await promise;
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    this.#isPausing = false;
  }

  #tellWaiting(): void {
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  #notify(): void {
    this.#changed = true;
    this.#wake?.();
  }

  async #closeAll(): Promise<void> {
    this.#tellWaiting();
    this.#releaseHold();
    await this.#file?.handle.close();
    this.#file = undefined;
    await this.#sink.close();
    this.#options.position.close();
  }
}

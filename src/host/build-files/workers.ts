import { EngineError, internal } from '#base/errors.ts';
import { Semaphore } from '#base/semaphore.ts';
import { selfCommand } from '#host/sys/self.ts';
import type { FileJob, FileJobAnswer, FileJobResults } from './job.ts';

const idleMs = 10_000;

/** Processes for file work, started when they are needed, kept for a moment for the next job. Each has one job at a time. */
export class FileWorkers {
  readonly #turns: Semaphore;
  readonly #idle: Worker[] = [];

  constructor(limit: number) {
    this.#turns = new Semaphore(limit);
  }

  async run<K extends FileJob['kind']>(job: Extract<FileJob, { kind: K }>, signal: AbortSignal): Promise<FileJobResults[K]> {
    return await this.#turns.run(signal, async () => {
      const worker = this.#idle.pop() ?? new Worker(ended => this.#forget(ended));
      const answer = await worker.ask(job, signal);
      this.#idle.push(worker);
      worker.rest();
      if (!answer.ok) throw new EngineError(answer.kind, answer.message);
      return answer.result as FileJobResults[K];
    });
  }

  #forget(worker: Worker): void {
    const at = this.#idle.indexOf(worker);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  close(): void {
    for (const worker of this.#idle.splice(0)) worker.end();
  }
}

class Worker {
  readonly #child;
  readonly #lines: AsyncIterator<string>;
  #timer: NodeJS.Timeout | undefined;

  constructor(onEnd: (worker: Worker) => void) {
    this.#child = Bun.spawn(selfCommand('internal-file-work', String(process.pid)), {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH ?? '' },
      onExit: () => onEnd(this),
    });
    this.#child.unref();
    this.#lines = linesOf(this.#child.stdout)[Symbol.asyncIterator]();
  }

  /** Ends the process when the signal aborts: it cannot be asked to stop in the middle. */
  async ask(job: FileJob, signal: AbortSignal): Promise<FileJobAnswer> {
    clearTimeout(this.#timer);
    const onAbort = (): void => this.end();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      signal.throwIfAborted();
      void this.#child.stdin.write(`${JSON.stringify(job)}\n`);
      await this.#child.stdin.flush();
      const { value, done } = await this.#lines.next();
      signal.throwIfAborted();
      if (done !== true) return JSON.parse(value) as FileJobAnswer;
      await this.#child.exited;
      throw internal(
        `the process for file work ended with ${this.#child.signalCode ?? `status ${String(this.#child.exitCode)}`} and no answer`,
      );
    } catch (err) {
      this.end();
      throw err;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Ends it if nobody asks for a while. */
  rest(): void {
    this.#timer = setTimeout(() => this.end(), idleMs);
    this.#timer.unref();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#child.kill('SIGKILL');
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let unread = '';
  for await (const chunk of stream) {
    const lines = (unread + decoder.decode(chunk, { stream: true })).split('\n');
    unread = lines.pop() ?? '';
    yield* lines;
  }
}

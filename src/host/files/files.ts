import { closeSync, openSync } from 'node:fs';
import { EngineError, failedPrecondition, internal, isErrno } from '#base/errors.ts';
import type { ContainerFiles, ExtractOptions, FileChange, FilesSession, FilesView, PathStat, WritableLayer } from '#core/files.ts';
import { selfCommand } from '#host/sys/self.ts';
import type { Answer, Entering, Job, Refusal } from './job.ts';

export interface ContainerFilesOptions {
  /** Host pids of the processes of a container. */
  readonly pidsOf: (containerId: string) => Promise<readonly number[]>;
}

export function createContainerFiles({ pidsOf }: ContainerFilesOptions): ContainerFiles {
  return {
    enter: (view, signal) => enterView(view, pidsOf, signal),
    async changes(layer, signal) {
      await using worker = await Worker.start({ kind: 'layer' }, undefined, signal);
      return await worker.ask<FileChange[]>({ do: 'changes', ...layer });
    },
    layerTar: (layer, signal) => layerTar(layer, signal),
  };
}

async function* layerTar(layer: WritableLayer, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  await using worker = await Worker.start({ kind: 'layer' }, undefined, signal);
  await worker.ask({ do: 'layer', ...layer });
  yield* worker.bytes();
}

async function enterView(view: FilesView, pidsOf: ContainerFilesOptions['pidsOf'], signal: AbortSignal): Promise<FilesSession> {
  if (view.kind !== 'running') return session(await Worker.start(view, undefined, signal));
  const namespace = openNamespace(view.pid);
  try {
    // The number may have been given to another process since: then it is none of the container's.
    if (!(await pidsOf(view.containerId)).includes(view.pid)) throw gone(view.containerId);
    return session(await Worker.start(view, namespace, signal));
  } finally {
    closeSync(namespace);
  }
}

const gone = (containerId: string): Error => failedPrecondition(`container ${containerId} does not run any more`);

function openNamespace(pid: number): number {
  try {
    return openSync(`/proc/${String(pid)}/ns/mnt`, 'r');
  } catch (err) {
    throw isErrno(err, 'ENOENT', 'ESRCH') ? failedPrecondition(`process ${String(pid)} does not run any more`, { cause: err }) : err;
  }
}

function session(worker: Worker): FilesSession {
  return {
    stat: path => worker.ask<PathStat>({ do: 'stat', path }),
    async archive(path) {
      const stat = await worker.ask<PathStat>({ do: 'archive', path });
      return { stat, tar: worker.bytes() };
    },
    async root() {
      await worker.ask({ do: 'root' });
      return worker.bytes();
    },
    extract: (path: string, options: ExtractOptions, tar: AsyncIterable<Uint8Array>) => worker.send({ do: 'extract', path, options }, tar),
    [Symbol.asyncDispose]: () => worker[Symbol.asyncDispose](),
  };
}

/** The process, as the daemon speaks with it. */
class Worker implements AsyncDisposable {
  readonly #child: ReturnType<typeof spawn>;
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #signal: AbortSignal;
  /** Read, but not asked for yet. */
  #rest: Uint8Array = new Uint8Array(0);

  private constructor(child: ReturnType<typeof spawn>, signal: AbortSignal) {
    this.#child = child;
    this.#chunks = child.stdout[Symbol.asyncIterator]();
    this.#signal = signal;
  }

  /** Resolves when it is inside the view. */
  static async start(view: Entering, namespace: number | undefined, signal: AbortSignal): Promise<Worker> {
    signal.throwIfAborted();
    const worker = new Worker(spawn(namespace, signal), signal);
    try {
      await worker.#tell(view);
      await worker.#answer();
      return worker;
    } catch (err) {
      await worker[Symbol.asyncDispose]();
      throw err;
    }
  }

  async ask<T>(job: Job): Promise<T> {
    await this.#tell(job);
    return await this.#answer<T>();
  }

  /** A job and bytes for it. A process that refuses them ends before it has read everything; its own words say why. */
  async send(job: Job, bytes: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#tell(job);
    const answered = this.#answer<undefined>();
    const isOver = answered.then(
      () => true,
      () => true,
    );
    try {
      for await (const chunk of bytes) {
        this.#signal.throwIfAborted();
        const sent = Promise.resolve(this.#child.stdin.write(chunk)).then(() => this.#child.stdin.flush());
        if (await Promise.race([sent.then(() => false), isOver])) break;
      }
      await this.#child.stdin.end();
    } catch (err) {
      if (!isErrno(err, 'EPIPE')) {
        this.#child.kill('SIGKILL');
        await isOver;
        throw err;
      }
    }
    await answered;
  }

  /** What follows the answer. Rejects at the end when the process says that it is not all. */
  async *bytes(): AsyncGenerator<Uint8Array, void, undefined> {
    const words = new Response(this.#child.stderr).text();
    if (this.#rest.length > 0) yield this.#rest;
    for (let next = await this.#chunks.next(); next.done !== true; next = await this.#chunks.next()) yield next.value;
    const status = await this.#child.exited;
    this.#signal.throwIfAborted();
    if (status !== 0) throw this.#failure(await words);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#child.exited;
  }

  async #tell(line: Entering | Job): Promise<void> {
    try {
      void this.#child.stdin.write(`${JSON.stringify(line)}\n`);
      await this.#child.stdin.flush();
    } catch (err) {
      if (!isErrno(err, 'EPIPE')) throw err;
    }
  }

  async #answer<T>(): Promise<T> {
    let line = Buffer.alloc(0);
    for (;;) {
      const end = this.#rest.indexOf(0x0a);
      line = Buffer.concat([line, end === -1 ? this.#rest : this.#rest.subarray(0, end)]);
      this.#rest = end === -1 ? new Uint8Array(0) : this.#rest.subarray(end + 1);
      if (end !== -1) break;
      const { done, value } = await this.#chunks.next();
      if (done === true) {
        await this.#child.exited;
        this.#signal.throwIfAborted();
        throw this.#failure(await new Response(this.#child.stderr).text());
      }
      this.#rest = value;
    }
    const answer = JSON.parse(line.toString('utf8')) as Answer<T>;
    if (!answer.ok) throw new EngineError(answer.kind, answer.message);
    return answer.value;
  }

  #failure(words: string): Error {
    if (words.startsWith('{"ok":false')) {
      const { kind, message } = JSON.parse(words.split('\n', 1)[0] ?? '') as Refusal;
      return new EngineError(kind, message);
    }
    const status = this.#child.signalCode ?? `status ${String(this.#child.exitCode)}`;
    return internal(`the process that works on files ended with ${status}${words === '' ? '' : `: ${words.trim()}`}`);
  }
}

function spawn(namespace: number | undefined, signal: AbortSignal) {
  return Bun.spawn(selfCommand('internal-files', String(process.pid)), {
    stdio: namespace === undefined ? ['pipe', 'pipe', 'pipe'] : ['pipe', 'pipe', 'pipe', namespace],
    env: { PATH: process.env.PATH ?? '' },
    signal,
    killSignal: 'SIGKILL',
  });
}

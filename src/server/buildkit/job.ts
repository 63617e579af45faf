import { Arrivals } from '#base/arrivals.ts';
import { newId } from '#base/id.ts';
import { deadlineExceeded, notFound } from '#base/errors.ts';
import type { Attributes, Definition, Result } from '#api/buildkit/messages.ts';
import type { SolvedBuild } from '#builder/solver/solve.ts';
import type { ResultFacts } from './attest-options.ts';
import { Progress } from './progress.ts';

/** A client may ask about a build a moment before the build is here. */
const patienceMs = 5_000;
/** How long after its end a build can still be asked what it said. */
const memoryMs = 10_000;

/** Results by the ids that clients know them by, of all builds under way: one build may stand on what another has made. */
export type Results = Map<string, KeptResult>;

/** A result, with what was asked about it. */
export interface KeptResult {
  readonly id: string;
  readonly build: SolvedBuild;
  readonly facts: ResultFacts;
}

/** What a client hands over from other builds, by name. */
export type Inputs = Readonly<Record<string, Definition>>;

/** What a build is known by and what it may use. */
export interface AskedBuild {
  readonly ref: string;
  readonly sessionId: string;
  readonly entitlements: readonly string[];
  readonly inputs?: Inputs;
  /** The context, as an archive that came with the request. */
  readonly upload?: AsyncIterable<Uint8Array> | undefined;
  readonly sourceDateEpoch?: string | undefined;
}

/** One build that a client has asked for. What it holds goes when it is disposed. */
export class Job implements AsyncDisposable {
  readonly ref: string;
  readonly sessionId: string;
  readonly entitlements: readonly string[];
  /** What an exporter wants for SOURCE_DATE_EPOCH where the build does not say. */
  readonly sourceDateEpoch: string | undefined;
  readonly inputs: Inputs;
  readonly upload: AsyncIterable<Uint8Array> | undefined;
  readonly progress: Progress;
  readonly startedMs = Date.now();
  /** Aborts when the client gives the build up and when the build has ended. */
  readonly signal: AbortSignal;
  readonly #client: AbortSignal;
  readonly #results: Results;
  readonly #stop = new AbortController();
  readonly #held = new AsyncDisposableStack();
  readonly #own: string[] = [];
  readonly #returned = Promise.withResolvers<Result | null>();
  /** The options of the first frontend that was run for it; undefined: none was. */
  options: Attributes | undefined;
  /** Calls that work for this build. */
  readonly #underWay = new Set<Promise<unknown>>();

  constructor({ ref, sessionId, entitlements, inputs = {}, upload, sourceDateEpoch }: AskedBuild, results: Results, signal: AbortSignal) {
    this.ref = ref;
    this.sessionId = sessionId;
    this.entitlements = entitlements;
    this.inputs = inputs;
    this.upload = upload;
    this.sourceDateEpoch = sourceDateEpoch;
    this.#results = results;
    this.progress = new Progress(`${ref} ${newId()}`);
    this.#client = signal;
    this.signal = AbortSignal.any([signal, this.#stop.signal]);
    this.#returned.promise.catch(() => undefined);
  }

  /** The client has given the build up. */
  get isGivenUp(): boolean {
    return this.#client.aborted;
  }

  /** Does work that the build waits for before it ends. */
  async track<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    try {
      return await work;
    } finally {
      this.#underWay.delete(work);
    }
  }

  /** Keeps a result until the build has ended. Returns the id it is known by. */
  keep(result: Omit<KeptResult, 'id'>): string {
    const id = `${this.ref}-${newId().slice(0, 16)}`;
    this.#results.set(id, { id, ...result });
    this.#own.push(id);
    this.#held.use(result.build);
    return id;
  }

  use<T extends AsyncDisposable>(resource: T): T {
    return this.#held.use(resource);
  }

  /** Rejects with NotFound. */
  result(id: string): KeptResult {
    const result = this.#results.get(id);
    if (result === undefined) throw notFound(`no such ref: ${id}`);
    return result;
  }

  /** The client, which runs the build's plan itself, says what has come of it. */
  returns(result: Result | null): void {
    this.#returned.resolve(result);
  }

  fails(err: unknown): void {
    this.#returned.reject(err);
  }

  /** What the client says has come of the plan. */
  async returned(): Promise<Result | null> {
    const gone = Promise.withResolvers<never>();
    const stop = (): void => gone.reject(this.signal.reason as Error);
    this.signal.addEventListener('abort', stop, { once: true });
    if (this.signal.aborted) stop();
    try {
      return await Promise.race([this.#returned.promise, gone.promise]);
    } finally {
      this.signal.removeEventListener('abort', stop);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new DOMException('the build has ended', 'AbortError'));
    await Promise.allSettled(this.#underWay);
    for (const id of this.#own) this.#results.delete(id);
    await this.#held.disposeAsync();
    this.progress.end();
  }
}

/** The builds under way, and those that have just ended. */
export class Jobs {
  readonly #jobs = new Arrivals<Job>();

  begin(job: Job): void {
    this.#jobs.arrive(job.ref, job);
  }

  end(job: Job): void {
    setTimeout(() => this.#jobs.leave(job.ref, job), memoryMs).unref();
  }

  find(ref: string): Job | undefined {
    return this.#jobs.find(ref);
  }

  /** Rejects with DeadlineExceeded when the build does not come. */
  get(ref: string, signal: AbortSignal): Promise<Job> {
    return this.#jobs.get(ref, { patienceMs, missing: () => deadlineExceeded(`no such job ${ref}`) }, signal);
  }
}

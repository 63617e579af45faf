import type { Attributes } from '#api/buildkit/messages.ts';
import type { JsonMessage } from '#api/types/image.ts';
import type { FailurePlace } from '#client/buildkit/control.ts';
import type { Outputs, OutputSpec } from './outputs.ts';
import type { StatusUpdate, Vertex, VertexStatus, VertexWarning } from './status.ts';

/** A build that failed, in the daemon's words. */
export interface BuildFailure {
  readonly message: string;
  /** The exit code of the command that failed; 0 when it was something else. */
  readonly exitCode: number;
  /** The step that failed, as far as one was under way. */
  readonly step: FailedStep | undefined;
  /** Where in the Dockerfile it was, when the daemon says so. */
  readonly place?: FailurePlace | undefined;
}

export interface FailedStep {
  readonly name: string;
  /** The instruction as the daemon names it. */
  readonly code: string;
  /** The end of what it wrote. */
  readonly lines: readonly string[];
}

/** What came of a build. */
export interface BuildOutcome {
  /** What is told of the result, by the keys of `--metadata-file`. */
  readonly response: Attributes;
  readonly failure: BuildFailure | undefined;
  readonly warnings: readonly VertexWarning[];
  /** What is left to be brought where it is wanted. */
  readonly undelivered: readonly OutputSpec[];
}

const stepLine = /^Step (\d+)\/(\d+) : ([^]*?)\n?$/;
const keptLines = 10;
const isRed = (text: string): boolean => text.startsWith('\u001b[91m');
const withoutRed = (text: string): string => text.replace(/\u001b\[91m|\u001b\[0m/g, '');

/** Makes updates of what `POST /build` says. */
export class ClassicStream {
  readonly #update: (update: StatusUpdate) => void;
  readonly #encoder = new TextEncoder();
  #step: { vertex: Vertex; code: string; lines: string[] } | undefined;
  #layers = new Map<string, VertexStatus>();
  #names: string[] = [];
  imageId: string | undefined;
  failure: BuildFailure | undefined;

  constructor(update: (update: StatusUpdate) => void) {
    this.#update = update;
  }

  read(message: JsonMessage): void {
    if (message.errorDetail !== undefined || (message.error ?? '') !== '') this.#fail(message);
    else if (message.aux !== undefined && message.aux !== null) this.#aux(message.aux);
    else if (message.stream !== undefined && message.stream !== '') this.#stream(message.stream);
    else if (message.status !== undefined) this.#status(message);
  }

  /** What came of it, once the stream has ended. */
  outcome(outputs: Outputs): BuildOutcome {
    const id = this.imageId ?? '';
    const names = outputs.specs.map(({ attributes }) => attributes.name ?? '').find(name => name !== '');
    const response = {
      'containerimage.config.digest': id,
      'containerimage.digest': id,
      ...(names !== undefined && { 'image.name': names }),
    };
    return { response: id === '' ? {} : response, failure: this.failure, warnings: [], undelivered: outputs.specs };
  }

  /** The stream has ended. */
  end(): void {
    this.#complete();
    const now = Date.now();
    const id = this.imageId;
    if (this.failure !== undefined || id === undefined) return;
    const vertex = { id: 'export', name: 'exporting to image', startedMs: now };
    const parts = [`writing image ${id}`, ...this.#names.map(name => `naming to ${name}`)];
    this.#update({
      vertexes: [vertex],
      statuses: parts.map(text => ({ id: text, vertex: 'export', text, current: 0, total: 0, startedMs: now, completedMs: now })),
    });
    this.#update({ vertexes: [{ ...vertex, completedMs: Date.now() }] });
  }

  #stream(text: string): void {
    const [, number = '', count = '', code = ''] = stepLine.exec(text) ?? [];
    if (number !== '') {
      this.#complete();
      const vertex = { id: `step-${number}`, name: `[${number.padStart(count.length)}/${count}] ${code}`, startedMs: Date.now() };
      this.#step = { vertex, code, lines: [] };
      this.#update({ vertexes: [vertex] });
      return;
    }
    const [, tagged = ''] = /^Successfully tagged (.*)\n$/.exec(text) ?? [];
    if (tagged !== '') this.#names.push(tagged);
    const [, id = ''] = /^(sha256:[0-9a-f]{64})\n$/.exec(text) ?? [];
    if (id !== '' && this.#step === undefined) this.imageId = id;
    if (tagged !== '' || id !== '' || /^Successfully built [0-9a-f]{12}\n$/.test(text) || (this.#step === undefined && text === '\n'))
      return;
    if (text === ' ---> Using cache\n') this.#change({ isCached: true });
    else if (/^ ---> [0-9a-f]{12}\n$/.test(text)) this.#complete();
    else if (
      !/^(?: ---> (?:Running in|Removed intermediate container)|Removing intermediate container) [0-9a-f]{12}\n$/.test(text) &&
      text !== '\n'
    )
      this.#log(text);
    else if (text === '\n' && this.#step !== undefined && this.#step.lines.length > 0) this.#log(text);
  }

  #log(text: string): void {
    const step = this.#step;
    if (step === undefined) return;
    const data = withoutRed(text);
    step.lines = [...step.lines, ...data.split('\n').filter(line => line !== '')].slice(-keptLines);
    const stream = isRed(text) ? 2 : 1;
    this.#update({ logs: [{ vertex: step.vertex.id, stream, data: this.#encoder.encode(data), timeMs: Date.now() }] });
  }

  /** How a base image comes here. */
  #status({ id = '', status = '', progressDetail }: JsonMessage): void {
    const step = this.#step;
    if (step === undefined || id === '') return;
    const key = `${step.vertex.id} ${id}`;
    const isDone = /^(Pull complete|Already exists|Download complete|Digest|Status)/.test(status);
    const { current = 0, total = 0 } = progressDetail ?? {};
    const known = this.#layers.get(key);
    const next: VertexStatus = {
      id,
      vertex: step.vertex.id,
      text: `${id} ${status}`,
      current,
      total,
      startedMs: known?.startedMs ?? Date.now(),
      ...(isDone && { completedMs: Date.now() }),
    };
    this.#layers.set(key, next);
    this.#update({ statuses: [next] });
  }

  #aux(aux: unknown): void {
    if (typeof aux === 'object' && aux !== null && 'ID' in aux && typeof aux.ID === 'string') this.imageId = aux.ID;
  }

  #change(change: Partial<Vertex>): void {
    if (this.#step === undefined) return;
    this.#step.vertex = { ...this.#step.vertex, ...change };
    this.#update({ vertexes: [this.#step.vertex] });
  }

  #complete(): void {
    if (this.#step === undefined) return;
    this.#change({ completedMs: Date.now() });
    this.#step = undefined;
  }

  #fail({ errorDetail, error }: JsonMessage): void {
    const message = errorDetail?.message ?? error ?? 'the daemon reported an error without words';
    const step = this.#step;
    this.failure = {
      message,
      exitCode: errorDetail?.code ?? 0,
      step: step === undefined ? undefined : { name: step.vertex.name, code: step.code, lines: step.lines },
    };
    this.#change({ error: message, completedMs: Date.now() });
    this.#step = undefined;
  }
}

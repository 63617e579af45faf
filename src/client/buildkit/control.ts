import type { Attributes, TypeAndAttributes } from '#api/buildkit/messages.ts';
import { messageOf } from '#base/errors.ts';
import type { Connection } from '../connection.ts';
import type { GrpcClient } from './grpc-client.ts';
import { CallError } from './grpc-messages.ts';
import { encodeMessage, type Field, Message } from './protobuf.ts';
import { readTrace, type Trace } from './trace.ts';

/** A build, as it is asked for. */
export interface BuildOrder {
  /** A name that only this build has. */
  readonly ref: string;
  /** The session over which the daemon asks for files. */
  readonly session: string;
  /** The options of the Dockerfile frontend. */
  readonly options: Attributes;
  readonly exporters: readonly TypeAndAttributes[];
  readonly cacheImports: readonly TypeAndAttributes[];
  readonly cacheExports: readonly TypeAndAttributes[];
  readonly entitlements: readonly string[];
}

/** Where in a file something went wrong; lines count from 1, characters from 0. */
export interface FailurePlace {
  readonly name: string;
  readonly text: string;
  readonly start: { readonly line: number; readonly character: number };
  readonly end: { readonly line: number; readonly character: number };
}

const control = '/moby.buildkit.v1.Control';
const gateway = '/moby.buildkit.v1.frontend.LLBBridge';
const frontend = 'dockerfile.v0';

/** moby.buildkit.v1.Control, as far as a build needs it. Everything rejects like GrpcClient. */
export class Control implements Disposable {
  readonly #grpc: GrpcClient;

  constructor(grpc: GrpcClient) {
    this.#grpc = grpc;
  }

  /** Connects. Rejects with NotFound or NotImplemented where the daemon has no such services. */
  static async open(connection: Connection): Promise<Control> {
    const [{ openUpgraded }, { GrpcClient }] = await Promise.all([import('./upgraded-socket.ts'), import('./grpc-client.ts')]);
    return new Control(new GrpcClient(await openUpgraded(connection, '/grpc')));
  }

  /** The labels of the daemon's worker: they say what it can do. */
  async workerLabels(signal: AbortSignal): Promise<Attributes> {
    const answer = await this.#grpc.ask(`${control}/ListWorkers`, new Uint8Array(0), { signal });
    return Object.assign({}, ...answer.messages(1).map(worker => attributesOf(worker, 2))) as Attributes;
  }

  /** Builds. Resolves with what the exporters tell. */
  async solve(order: BuildOrder, signal: AbortSignal): Promise<Attributes> {
    const answer = await this.#grpc.ask(`${control}/Solve`, encodeOrder(order, frontend), { signal });
    return attributesOf(answer, 1);
  }

  /** Asks the frontend about a build instead of building (`requestid` is among the options). Resolves with the answer's parts. */
  async askFrontend(order: BuildOrder, signal: AbortSignal): Promise<ReadonlyMap<string, Uint8Array>> {
    const own = new AbortController();
    const running = this.#grpc.ask(`${control}/Solve`, encodeOrder(order, ''), { signal: AbortSignal.any([signal, own.signal]) });
    running.catch(() => undefined);
    const metadata = { 'buildkit-controlapi-buildid': order.ref };
    try {
      const request = encodeMessage([[2, frontend], ...mapField(3, order.options), [5, 1], [6, 1]]);
      const answer = await this.#grpc.ask(`${gateway}/Solve`, request, { metadata, signal });
      const entries = answer.message(3).messages(10);
      await this.#grpc.ask(`${gateway}/Return`, new Uint8Array(0), { metadata, signal });
      await running;
      return new Map(entries.map(entry => [entry.text(1), entry.bytes(2)]));
    } finally {
      own.abort(new DOMException('the question has been answered', 'AbortError'));
    }
  }

  /** What happens in a build, until it has ended. */
  async *status(ref: string, signal: AbortSignal): AsyncGenerator<Trace, void, undefined> {
    for await (const message of this.#grpc.listen(`${control}/Status`, encodeMessage([[1, ref]]), { signal })) yield readTrace(message);
  }

  [Symbol.dispose](): void {
    this.#grpc[Symbol.dispose]();
  }
}

function encodeOrder({ ref, session, options, exporters, cacheImports, cacheExports, entitlements }: BuildOrder, name: string): Uint8Array {
  // Daemons that know only one exporter look for it in another place.
  const [first] = exporters;
  return encodeMessage([
    [1, ref],
    ...(first === undefined ? [] : [[3, first.Type] as const, ...mapField(4, first.Attrs)]),
    [5, session],
    [6, name],
    ...(name === '' ? [] : mapField(7, options)),
    [
      8,
      encodeMessage([
        ...cacheExports.map(entry => [4, encodeEntry(entry)] as const),
        ...cacheImports.map(entry => [5, encodeEntry(entry)] as const),
      ]),
    ],
    ...entitlements.map(entitlement => [9, entitlement] as const),
    ...exporters.map(exporter => [13, encodeEntry(exporter)] as const),
  ]);
}

const encodeEntry = ({ Type, Attrs }: TypeAndAttributes): Uint8Array => encodeMessage([[1, Type], ...mapField(2, Attrs)]);

const mapField = (field: number, values: Attributes): Field[] =>
  Object.entries(values).map(([key, value]) => [
    field,
    encodeMessage([
      [1, key],
      [2, value],
    ]),
  ]);

const attributesOf = (message: Message, field: number): Attributes =>
  Object.fromEntries(message.messages(field).map(entry => [entry.text(1), entry.text(2)]));

/** Where in which file an error is, when the daemon says so. */
export function placeOfFailure(err: unknown): FailurePlace | undefined {
  if (!(err instanceof CallError) || err.details.length === 0) return undefined;
  for (const detail of new Message(err.details).messages(3)) {
    if (!detail.text(1).includes('errdefs.Source')) continue;
    const source = JSON.parse(detail.text(2)) as SourceDetail;
    const [range] = source.ranges ?? [];
    if (source.info?.filename === undefined || range?.start?.line === undefined) continue;
    const at = ({ line = 0, character = 0 }: WirePosition = {}): { line: number; character: number } => ({ line, character });
    return {
      name: source.info.filename,
      text: Buffer.from(source.info.data ?? '', 'base64').toString('utf8'),
      start: at(range.start),
      end: at(range.end ?? range.start),
    };
  }
  return undefined;
}

interface WirePosition {
  readonly line?: number;
  readonly character?: number;
}

interface SourceDetail {
  readonly info?: { readonly filename?: string; readonly data?: string };
  readonly ranges?: readonly { readonly start?: WirePosition; readonly end?: WirePosition }[];
}

/** The daemon's sentence, without the name of gRPC's code that some put before it. */
export const sentenceOf = (err: unknown): string => messageOf(err).replace(/^rpc error: code = \w+ desc = /, '');

import type { Duplex } from 'node:stream';
import type { DataFrame } from './websocket.ts';
import type { ClientStream } from '#engine/containers/attach-types.ts';

export type Headers = Readonly<Record<string, string>>;
export type Chunk = string | Uint8Array;

/** What a handler answers. Sending is the server's business. */
export type Reply = JsonReply | TextReply | StreamReply | HijackReply | UpgradeReply;

export interface JsonReply {
  readonly kind: 'json';
  readonly status: number;
  readonly value: unknown;
  readonly headers?: Headers;
}

export interface TextReply {
  readonly kind: 'text';
  readonly status: number;
  readonly contentType: string | undefined;
  readonly text: string;
  readonly headers?: Headers;
}

export interface StreamReply {
  readonly kind: 'stream';
  readonly status: number;
  readonly contentType: string;
  readonly headers?: Headers;
  readonly body: AsyncIterable<Chunk>;
  /**
   * `at-once`: the client sees the headers before there is anything to say. `with-data`: an error before the first chunk is answered with its own status.
   */
  readonly start: 'at-once' | 'with-data';
  /** How an error is told once the headers are out; without it the connection breaks off. */
  readonly formatError?: (err: unknown) => Chunk;
}

export interface HijackReply {
  readonly kind: 'hijack';
  readonly contentType: string;
  /** The content type where the client did not ask for an upgrade. */
  readonly rawContentType: string;
  /** Whether output travels in frames that tell stdout and stderr apart. */
  readonly framed: boolean;
  /** Bytes travel in the frames of a websocket. */
  readonly websocket?: { readonly accept: string; readonly frames: DataFrame };
  /** The headers of every answer follow those of the upgrade. */
  readonly commonHeaders: boolean;
  readonly run: (client: ClientStream) => Promise<unknown>;
}

/** The connection goes over to another protocol, which `run` speaks from the first byte on. */
export interface UpgradeReply {
  readonly kind: 'upgrade';
  readonly status: 101;
  readonly protocol: 'h2c';
  /** Resolves when the connection is closed. */
  readonly run: (connection: Duplex) => Promise<void>;
}

export const json = (value: unknown, status = 200): JsonReply => ({ kind: 'json', status, value });
export const text = (body: string, headers: Headers = {}): TextReply => ({
  kind: 'text',
  status: 200,
  contentType: 'text/plain; charset=utf-8',
  text: body,
  headers,
});
/** No body at all. */
export const empty = (status = 204): TextReply => ({ kind: 'text', status, contentType: undefined, text: '' });

import type { ServerResponse } from 'node:http';
import type { Logger } from '#base/log.ts';
import { kindOf } from '#base/errors.ts';
import { BatchedWriter } from './batched-writer.ts';
import { toErrorAnswer } from './error-response.ts';
import { json } from './reply.ts';
import type { Chunk, Headers, JsonReply, Reply, StreamReply, TextReply } from './reply.ts';

/** No escaping of HTML characters, a line break at the end, and exactly `application/json`: clients compare the type as text. */
export const formatJson = (value: unknown): string => `${JSON.stringify(value)}\n`;

export function errorReply(err: unknown): JsonReply | TextReply {
  const { status, body } = toErrorAnswer(err);
  // 304 has no body (RFC 9110, 15.4.5).
  return status === 304 ? { kind: 'text', status, contentType: undefined, text: '' } : json(body, status);
}

export function plainErrorReply(err: unknown): TextReply {
  const { status, body } = toErrorAnswer(err);
  return { kind: 'text', status, contentType: 'text/plain; charset=utf-8', text: `${body.message}\n` };
}

/** An answer that stays HTTP. */
export type PlainReply = Exclude<Reply, { kind: 'hijack' | 'upgrade' }>;

/** Sends an answer, and resolves when it is sent or the client has gone. */
export async function send(response: ServerResponse, reply: PlainReply, common: Headers, log: Logger): Promise<void> {
  if (reply.kind === 'stream') return await sendStream(response, reply, common, log);
  const { contentType, body } =
    reply.kind === 'json'
      ? { contentType: 'application/json', body: formatJson(reply.value) }
      : { contentType: reply.contentType, body: reply.text };
  const bodyless = reply.status === 204 || reply.status === 304;
  response.writeHead(reply.status, {
    ...common,
    ...reply.headers,
    ...(contentType === undefined ? {} : { 'Content-Type': contentType }),
    ...(bodyless ? {} : { 'Content-Length': Buffer.byteLength(body) }),
  });
  response.end(bodyless || body === '' ? undefined : body);
}

async function sendStream(response: ServerResponse, reply: StreamReply, common: Headers, log: Logger): Promise<void> {
  const chunks = reply.body[Symbol.asyncIterator]();
  const begin = (): void => {
    response.writeHead(reply.status, { ...common, ...reply.headers, 'Content-Type': reply.contentType });
    response.flushHeaders();
  };
  let next: IteratorResult<Chunk, unknown> | undefined;
  if (reply.start === 'with-data') {
    try {
      next = await chunks.next();
    } catch (err) {
      return await send(response, errorReply(err), common, log);
    }
  }
  begin();
  const writer = new BatchedWriter(response);
  try {
    next ??= await chunks.next();
    while (next.done !== true && !response.destroyed) {
      const full = writer.append(next.value);
      if (full !== undefined) await full;
      next = await chunks.next();
    }
  } catch (err) {
    if (kindOf(err) === 'Canceled' && response.destroyed) return;
    if (reply.formatError === undefined) {
      if (kindOf(err) !== 'Canceled') log.warn('a streamed answer broke off', { error: err });
      response.destroy();
      return;
    }
    void writer.append(reply.formatError(err));
  } finally {
    await writer.flush();
    if (next?.done !== true) await closeIterator(chunks, log);
    response.end();
  }
}

/** The source may hold something: it must hear that nobody reads on. */
async function closeIterator(chunks: AsyncIterator<Chunk>, log: Logger): Promise<void> {
  try {
    await chunks.return?.();
  } catch (err) {
    log.debug('ending a streamed answer failed', { error: err });
  }
}

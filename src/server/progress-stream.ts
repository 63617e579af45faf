import { messageOf } from '#base/errors.ts';
import { errorMessage, formatMessage } from '#api/json-stream.ts';
import type { JsonMessage } from '#api/types/image.ts';
import type { ImageProgress, Report } from '#engine/images/model.ts';
import type { StreamReply } from './reply.ts';

/**
 * The answer of a long operation: what it reports, as it reports it. An error before the first report gets its own status, a later one travels in the
 * stream, which is where clients look for it.
 */
export function progressReply(run: (report: Report) => Promise<JsonMessage | undefined | void>): StreamReply {
  return messagesReply(
    async put => await run(progress => put(toMessage(progress))),
    err => errorMessage(messageOf(err)),
  );
}

/** The same for who has messages already. */
export function messagesReply(
  run: (put: (message: JsonMessage) => void) => Promise<JsonMessage | undefined | void>,
  toErrorMessage: (err: unknown) => JsonMessage,
): StreamReply {
  return {
    kind: 'stream',
    status: 200,
    contentType: 'application/json',
    start: 'with-data',
    body: collect(run),
    formatError: err => formatMessage(toErrorMessage(err)),
  };
}

async function* collect(run: (put: (message: JsonMessage) => void) => Promise<JsonMessage | undefined | void>): AsyncGenerator<string> {
  let pending = '';
  let wake: () => void = () => undefined;
  const put = (message: JsonMessage): void => {
    pending += formatMessage(message);
    wake();
  };
  let outcome: { readonly error?: unknown } | undefined;
  const finished = run(put).then(
    last => {
      if (last) put(last);
      outcome = {};
      wake();
    },
    (error: unknown) => {
      outcome = { error };
      wake();
    },
  );
  for (;;) {
    if (pending !== '') {
      const text = pending;
      pending = '';
      yield text;
    } else if (outcome === undefined) {
      await new Promise<void>(resolve => (wake = resolve));
    } else {
      break;
    }
  }
  await finished;
  if ('error' in outcome) throw outcome.error;
}

export function toMessage({ id, status, current, total, text, pushed, insteadOfIndex }: ImageProgress): JsonMessage {
  if (pushed !== undefined) {
    return { progressDetail: {}, aux: { Tag: pushed.tag, Digest: pushed.digest, Size: pushed.sizeBytes } };
  }
  if (insteadOfIndex !== undefined) return { progressDetail: {}, aux: { manifestPushedInsteadOfIndex: true, ...insteadOfIndex } };
  if (text !== undefined) return { stream: text };
  const detail = {
    ...(current === undefined ? {} : { current }),
    ...(total === undefined ? {} : { total }),
  };
  return {
    ...(status === undefined ? {} : { status }),
    // Clients take an empty detail as "a line of its own with this id".
    ...(id === undefined && current === undefined ? {} : { progressDetail: detail }),
    ...(id === undefined ? {} : { id }),
  };
}

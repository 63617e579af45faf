import { JsonLines } from '#api/json-stream.ts';

/** The objects of a stream of JSON lines, as they come. A stream cut off in the middle of an object rejects with DataLoss. */
export async function* readJsonLines<T>(body: ReadableStream<Uint8Array> | null): AsyncGenerator<T> {
  if (body === null) return;
  const ready: T[] = [];
  const lines = new JsonLines<T>(value => ready.push(value));
  for await (const chunk of body) {
    lines.push(chunk);
    yield* ready.splice(0);
  }
  lines.end();
  yield* ready;
}

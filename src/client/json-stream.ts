import { dataLoss } from '#base/errors.ts';

/** A reviver for JSON.parse that makes integers beyond what a number holds exactly a bigint. */
export function keepIntegers(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  const { source } = context ?? {};
  return typeof value === 'number' && !Number.isSafeInteger(value) && source !== undefined && /^-?\d+$/.test(source)
    ? BigInt(source)
    : value;
}

type Reviver = (this: unknown, key: string, value: unknown) => unknown;

/** The objects of a stream of JSON lines, as they come. A stream cut off in the middle of an object rejects with DataLoss. */
export async function* readJsonLines<T>(body: ReadableStream<Uint8Array> | null, reviver?: Reviver): AsyncGenerator<T> {
  if (body === null) return;
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') yield parseLine<T>(line, reviver);
  }
  rest += decoder.decode();
  if (rest.trim() !== '') yield parseLine<T>(rest, reviver);
}

function parseLine<T>(line: string, reviver: Reviver | undefined): T {
  try {
    return JSON.parse(line.replace(/^\u001e/, ''), reviver) as T;
  } catch (err) {
    throw dataLoss(`the daemon's stream ended in the middle of a message: ${JSON.stringify(line.slice(0, 80))}`, { cause: err });
  }
}

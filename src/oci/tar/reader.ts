import type { TarEntry } from './entry.ts';
import { TarParser } from './parser.ts';

/** A member of an archive that is being read. */
export interface TarFile {
  readonly entry: TarEntry;
  /** The file's bytes, holes as zeros. Can be read once, before the next member is asked for; what is left unread is skipped. */
  readonly content: AsyncIterable<Uint8Array>;
}

/** Reads an archive member by member. Rejects with DataLoss when it is damaged or truncated. Leaving the loop early closes the source. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarFile, void, undefined> {
  const events: Event[] = [];
  const parser = new TarParser({
    entry: entry => events.push({ entry }),
    data: (chunk, offset) => events.push({ chunk, offset }),
    end: () => events.push({ end: true }),
  });
  const chunks = source[Symbol.asyncIterator]();
  let taken = 0;
  /** The next event; reads on when the queue is empty. A chunk is valid until then. */
  const next = async (): Promise<Event | undefined> => {
    while (taken === events.length) {
      events.length = 0;
      taken = 0;
      const { done, value } = await chunks.next();
      if (done === true) return void parser.finish();
      parser.push(value);
    }
    return events[taken++];
  };
  try {
    for (let event = await next(); event !== undefined; event = await next()) {
      if (!('entry' in event)) continue;
      let isOpen = true;
      const { entry } = event;
      const content = contentOf(entry, async () => {
        const part = isOpen ? await next() : undefined;
        if (part === undefined || 'chunk' in part) return part;
        isOpen = false;
        return undefined;
      });
      yield { entry, content };
      while (isOpen) isOpen = !('end' in ((await next()) ?? { end: true }));
    }
  } finally {
    await chunks.return?.();
  }
}

/** The whole content of a small file. */
export async function readAll(content: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of content) parts.push(new Uint8Array(chunk));
  return Buffer.concat(parts);
}

type Event = { readonly entry: TarEntry } | Part | { readonly end: true };
interface Part {
  readonly chunk: Uint8Array;
  readonly offset: number;
}

const zeros = new Uint8Array(64 * 1024);

async function* contentOf(entry: TarEntry, next: () => Promise<Part | undefined>): AsyncGenerator<Uint8Array, void, undefined> {
  let at = 0;
  for (let part = await next(); part !== undefined; part = await next()) {
    yield* hole(part.offset - at);
    yield part.chunk;
    at = part.offset + part.chunk.length;
  }
  yield* hole(entry.sizeBytes - at);
}

function* hole(length: number): Generator<Uint8Array, void, undefined> {
  for (let left = length; left > 0; left -= zeros.length) yield zeros.subarray(0, Math.min(left, zeros.length));
}

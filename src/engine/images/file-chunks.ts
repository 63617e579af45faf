/** A file's bytes from the beginning, as fast as they are asked for. */
export async function* readFileChunks(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of Bun.file(path).stream()) {
    signal.throwIfAborted();
    yield chunk;
  }
}

import { closeSync, openSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

/** As much is written at once as gathers meanwhile; more than this is not kept waiting in memory. */
const maxQueuedBytes = 1024 * 1024;
const maxBatch = 1024;

/** A file that grows at its end. Writing goes on beside whoever brings the next bytes. */
export class StagedFile implements AsyncDisposable {
  readonly #file: FileHandle;
  #position: number;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #writingBytes = 0;
  #writing: Promise<void> | undefined;
  #failure: Error | undefined;

  private constructor(file: FileHandle, position: number) {
    this.#file = file;
    this.#position = position;
  }

  /** Makes an empty file. */
  static create(path: string): Disposable {
    const fd = openSync(path, 'wx', 0o600);
    return { [Symbol.dispose]: () => closeSync(fd) };
  }

  /** Opens a file to go on at `position`. */
  static async open(path: string, position: number): Promise<StagedFile> {
    return new StagedFile(await open(path, 'r+'), position);
  }

  /** Bytes that are not in the file yet. */
  get queuedBytes(): number {
    return this.#queuedBytes + this.#writingBytes;
  }

  /** Resolves when it can take more. The chunk must not change afterwards. */
  async write(chunk: Uint8Array): Promise<void> {
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
    while (this.#writing !== undefined && this.#queuedBytes >= maxQueuedBytes) await this.#writing;
    // The writer that was waited for may have taken this chunk along.
    if (this.#queue.length > 0) this.#writing ??= this.#writeQueue();
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #writeQueue(): Promise<void> {
    try {
      while (this.#queue.length > 0) {
        const batch = this.#queue.splice(0, maxBatch);
        const total = batch.reduce((bytes, chunk) => bytes + chunk.length, 0);
        this.#queuedBytes -= total;
        this.#writingBytes = total;
        await this.#writeAll(batch, total);
        this.#writingBytes = 0;
      }
    } catch (err) {
      this.#failure ??= err instanceof Error ? err : new Error(String(err));
      this.#queue = [];
      this.#queuedBytes = 0;
    }
    this.#writing = undefined;
  }

  async #writeAll(batch: Uint8Array[], total: number): Promise<void> {
    let { bytesWritten: done } = await this.#file.writev(batch, this.#position);
    // Rare: the disk took a part, and says at the next attempt why.
    const rest = done === total ? undefined : Buffer.concat(batch);
    while (rest !== undefined && done < total)
      done += (await this.#file.write(rest, done, total - done, this.#position + done)).bytesWritten;
    this.#position += total;
  }

  /** Waits until everything is written. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    await this.#file.close();
  }
}

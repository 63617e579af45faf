import { createReadStream, createWriteStream, fstatSync, openSync, renameSync, rmSync } from 'node:fs';
import { write } from 'node:fs';
import { promisify } from 'node:util';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { failpoint } from '#base/failpoint.ts';
import type { Part, StreamName } from '../capture/pieces.ts';
import { inodeOf } from '../capture/segments.ts';
import type { Sink, SinkState } from '../delivery/sink.ts';
import { escapeText, trimTime } from './encode.ts';
import { closeFile, identityOf, LogFiles } from './files.ts';

const writeFile = promisify(write);

export interface JsonFileOptions {
  readonly path: string;
  /** Undefined: no limit. */
  readonly maxBytes: number | undefined;
  /** Files kept, the one being written included. */
  readonly files: number;
  readonly compress: boolean;
  /** Shown with each line. */
  readonly attributes: Readonly<Record<string, string>>;
  /** By the identity of a compressed file, that of the file which it was: readers that are in the midst of it go on by that. */
  readonly plainNames: Map<string, string>;
}

/**
 * Writes Docker's json-file format. What a capture says leads to the same bytes whenever it is read, so after a crash the bytes that were written already
 * are counted, not guessed: `base` of the state says which byte since the position stands at the beginning of the file.
 */
export class JsonFileWriter implements Sink {
  readonly #options: JsonFileOptions;
  readonly #files: LogFiles;
  readonly #attributes: string;
  readonly #saveState: (state: SinkState) => void;
  #fd: number | undefined;
  #inode = 0;
  #base = 0;
  /** Size of the file once all that is waiting is written. */
  #size = 0;
  /** Bytes made since the position that was saved last. */
  #made = 0;
  /** Bytes that the file has already from before a crash. */
  #skip = 0;
  /** Whether a later process would know where in the file this one began. */
  #isSaved = false;
  /** Texts to write; between two of them a new file begins. */
  #waiting: string[] = [''];
  #compressing: Promise<void> = Promise.resolve();

  constructor(options: JsonFileOptions, state: SinkState | undefined, saveState: (state: SinkState) => void) {
    this.#options = options;
    this.#files = new LogFiles(options.path, options.files);
    this.#saveState = saveState;
    const names = Object.keys(options.attributes).toSorted();
    const pairs = names.map(name => `"${quoted(name)}":"${quoted(options.attributes[name] ?? '')}"`);
    this.#attributes = pairs.length === 0 ? '' : `"attrs":{${pairs.join(',')}},`;
    this.#open(state);
  }

  readonly take = (stream: StreamName, time: string, text: string, part: Part | undefined): void => {
    const { maxBytes } = this.#options;
    if (maxBytes !== undefined && this.#size >= maxBytes) {
      this.#waiting.push('');
      this.#size = 0;
    }
    const end = part === undefined || part.isLast ? '\\n' : '';
    const log = text === '' && end === '' ? '' : `"log":"${escapeText(text)}${end}",`;
    const line = `{${log}"stream":"${stream}",${this.#attributes}"time":"${trimTime(time)}Z"}\n`;
    this.#waiting[this.#waiting.length - 1] += line;
    this.#size += line.length;
  };

  async flush(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [''];
    // A write may have come through although nobody lived to see it.
    if (!this.#isSaved && waiting.some(text => text !== '')) {
      this.#saveState({ inode: this.#inode, base: this.#base });
      this.#isSaved = true;
    }
    try {
      for (const [at, text] of waiting.entries()) {
        if (at > 0) {
          await this.#compressing;
          this.#beginFile();
        }
        await this.#write(text);
      }
    } catch (err) {
      this.#made = 0;
      this.#count();
      throw err;
    }
  }

  /** The position that goes with everything flushed so far. */
  get state(): SinkState {
    this.#base -= this.#made;
    this.#made = 0;
    return { inode: this.#inode, base: this.#base };
  }

  async close(): Promise<void> {
    await this.#compressing;
    closeFile(this.#fd);
    this.#fd = undefined;
  }

  #open(state: SinkState | undefined): void {
    if (state !== undefined && this.#files.isPrepared(state.inode)) this.#files.renew();
    else this.#files.dropPrepared();
    this.#fd = openSync(this.#options.path, 'a', 0o640);
    const { ino, size } = fstatSync(this.#fd);
    this.#inode = ino;
    this.#isSaved = state?.inode === ino;
    this.#base = state?.inode === ino ? state.base : -size;
    this.#count();
    this.#compressLater();
  }

  /** Counts what the file has already of what is to be taken since the position that was saved last. */
  #count(): void {
    const size = this.#fd === undefined ? 0 : fstatSync(this.#fd).size;
    this.#skip = Math.max(0, this.#base + size);
    // As if those bytes were still to be written; below zero until the file's first.
    this.#size = -this.#base;
  }

  #beginFile(): void {
    const { fd, inode } = this.#files.prepare();
    failpoint('log.file.prepared');
    this.#base = this.#made;
    this.#saveState({ inode, base: this.#base });
    this.#files.renew();
    closeFile(this.#fd);
    this.#fd = fd;
    this.#inode = inode;
    this.#compressLater();
  }

  async #write(text: string): Promise<void> {
    if (text === '') return;
    this.#made += text.length;
    let bytes = Buffer.from(text, 'latin1');
    if (this.#skip > 0) {
      const skipped = Math.min(this.#skip, bytes.length);
      this.#skip -= skipped;
      bytes = bytes.subarray(skipped);
    }
    while (bytes.length > 0 && this.#fd !== undefined) bytes = bytes.subarray((await writeFile(this.#fd, bytes)).bytesWritten);
  }

  #compressLater(): void {
    const { compress, files } = this.#options;
    // A file that stays as large as it is may be read all the same.
    if (compress && files > 1) this.#compressing = this.#compress().catch(() => undefined);
  }

  async #compress(): Promise<void> {
    const full = `${this.#options.path}.1`;
    const identity = identityOf(full);
    if (identity === undefined) return;
    if (inodeOf(`${full}.gz`) !== undefined) return rmSync(full, { force: true });
    await pipeline(createReadStream(full), createGzip({ level: 1 }), createWriteStream(`${full}.gz.new`, { mode: 0o640 }));
    this.#options.plainNames.set(identityOf(`${full}.gz.new`) ?? '', identity);
    renameSync(`${full}.gz.new`, `${full}.gz`);
    failpoint('log.file.compressed');
    rmSync(full, { force: true });
  }
}

const quoted = (text: string): string => escapeText(Buffer.from(text, 'utf8').toString('latin1'));

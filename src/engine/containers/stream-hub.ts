import type { Logger } from '#base/log.ts';
import type { ProcessStreams } from '#core/runtime.ts';
import type { AttachEnd, ClientStream, OutputStream } from './attach-types.ts';
import { DetachScanner } from './detach-keys.ts';

export interface JoinOptions {
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
  /** The process's input ends when this client's does. */
  readonly closesStdin: boolean;
  readonly detachKeys: readonly number[];
  /** Output waits until this has been written to the client. */
  readonly first?: (client: ClientStream) => Promise<void>;
}

interface Member {
  readonly client: ClientStream;
  readonly options: JoinOptions;
  readonly end: PromiseWithResolvers<AttachEnd>;
  /** The last write that the client has not taken yet, or what must go before. */
  busy: Promise<void> | undefined;
  /** How much output waits for it. */
  behindBytes: number;
  /** Gives up on the write in flight. */
  release: (() => void) | undefined;
}

/** How far a client may fall behind before the process, and with it everybody else, waits for it. */
const patienceBytes = 1024 * 1024;

/** A pause of so long in the output is an end of its flow. */
const flowPauseMs = 300;

/**
 * One connection to a process, any number of clients. Every client gets all output from the moment it joins, in order; one that is far behind holds the
 * process back. Clients may join before there is a process.
 */
export class StreamHub {
  readonly #log: Logger;
  readonly #members = new Set<Member>();
  readonly #connected = Promise.withResolvers<ProcessStreams | undefined>();
  #streams: ProcessStreams | undefined;
  #connecting = false;
  #ended = false;
  #lastOutputAt = Number.NEGATIVE_INFINITY;

  constructor(log: Logger) {
    this.#log = log;
  }

  get isWanted(): boolean {
    return this.#members.size > 0;
  }

  /** Whether clients are being given output at this moment. */
  get isFlowing(): boolean {
    return this.#members.size > 0 && performance.now() - this.#lastOutputAt < flowPauseMs;
  }

  get isConnected(): boolean {
    return this.#streams !== undefined;
  }

  /** Connects unless that has happened or is under way. */
  async connectOnce(open: () => Promise<ProcessStreams>): Promise<void> {
    if (this.#connecting) return;
    this.#connecting = true;
    this.connect(await open());
  }

  /** Takes over the streams of the process; they end the hub. */
  connect(streams: ProcessStreams): void {
    this.#connecting = true;
    this.#streams = streams;
    this.#connected.resolve(streams);
    streams.onOutput((stream, chunk) => {
      this.#lastOutputAt = performance.now();
      return this.#deliver(stream, chunk);
    });
    streams.closed.then(
      () => this.end(),
      (err: unknown) => {
        this.#log.warn('the connection to a process broke', { error: err });
        return this.end();
      },
    );
  }

  /** Adds a client before the first `await` inside; resolves when it is through. */
  async join(client: ClientStream, options: JoinOptions): Promise<AttachEnd> {
    if (this.#ended) return 'ended';
    const member: Member = {
      client,
      options,
      end: Promise.withResolvers<AttachEnd>(),
      busy: undefined,
      behindBytes: 0,
      release: undefined,
    };
    const leave = (): void => this.#leave(member, 'gone');
    this.#members.add(member);
    if (options.first !== undefined) member.busy = this.#guard(member, options.first(client));
    if (client.gone.aborted) leave();
    else client.gone.addEventListener('abort', leave, { once: true });
    if (client.input !== undefined) void this.#pumpInput(member, client.input);
    try {
      return await member.end.promise;
    } finally {
      client.gone.removeEventListener('abort', leave);
    }
  }

  /** No more output will come: every client is let go once it has taken what it was given. */
  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#connected.resolve(undefined);
    await Promise.all(
      [...this.#members].map(async member => {
        await member.busy;
        this.#leave(member, 'ended');
      }),
    );
    this.#streams?.[Symbol.dispose]();
  }

  /** Lets go of the process and of all clients; the process runs on. */
  close(): void {
    this.#ended = true;
    this.#connected.resolve(undefined);
    for (const member of this.#members) this.#leave(member, 'gone');
    this.#streams?.[Symbol.dispose]();
  }

  #deliver(stream: OutputStream, chunk: Uint8Array): Promise<void> | undefined {
    let pending: Promise<void>[] | undefined;
    for (const member of this.#members) {
      if (!member.options[stream]) continue;
      const write = member.busy === undefined ? this.#write(member, stream, chunk) : this.#writeLater(member, stream, chunk);
      if (write === undefined) continue;
      member.behindBytes += chunk.length;
      const busy: Promise<void> = write.then(() => {
        member.behindBytes -= chunk.length;
        if (member.busy === busy) member.busy = undefined;
      });
      member.busy = busy;
      if (member.behindBytes > patienceBytes) (pending ??= []).push(busy);
    }
    if (pending === undefined) return undefined;
    return pending.length === 1 ? pending[0] : Promise.all(pending).then(() => undefined);
  }

  async #writeLater(member: Member, stream: OutputStream, chunk: Uint8Array): Promise<void> {
    await member.busy;
    if (this.#members.has(member)) await this.#write(member, stream, chunk);
  }

  #write(member: Member, stream: OutputStream, chunk: Uint8Array): Promise<void> | undefined {
    try {
      const write = member.client.write(stream, chunk);
      return write === undefined ? undefined : this.#guard(member, write);
    } catch {
      this.#leave(member, 'gone');
      return undefined;
    }
  }

  /** A client that fails or goes must not hold the others back. */
  #guard(member: Member, write: Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    member.release = resolve;
    write.then(resolve, () => this.#leave(member, 'gone'));
    return promise;
  }

  #leave(member: Member, how: AttachEnd): void {
    if (!this.#members.delete(member)) return;
    member.release?.();
    member.end.resolve(how);
  }

  async #pumpInput(member: Member, input: AsyncIterable<Uint8Array>): Promise<void> {
    const scanner = member.options.tty ? new DetachScanner(member.options.detachKeys) : undefined;
    try {
      for await (const chunk of input) {
        const { pass, detached } = scanner?.scan(chunk) ?? { pass: chunk, detached: false };
        if (pass.length > 0) await this.#writeInput(pass);
        if (detached) return this.#leave(member, 'detached');
        if (this.#ended) return;
      }
    } catch (err) {
      this.#log.debug('a client stopped sending', { error: err });
    }
    await this.#inputEnded(member);
  }

  async #writeInput(chunk: Uint8Array): Promise<void> {
    const streams = this.#streams ?? (await this.#connected.promise);
    await streams?.writeStdin(chunk);
  }

  /** Docker's rule: a client whose end of input does not end the process's has nothing more to do here. */
  async #inputEnded(member: Member): Promise<void> {
    if (!member.options.closesStdin || member.options.tty) return this.#leave(member, 'gone');
    try {
      const streams = this.#streams ?? (await this.#connected.promise);
      await streams?.closeStdin();
    } catch (err) {
      this.#log.debug('standard input was closed already', { error: err });
    }
  }
}

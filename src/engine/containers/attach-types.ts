/** One client's connection, as the server sees it after the hijack. Nothing here knows about frames: the server wraps chunks as the client needs them. */
export interface ClientStream {
  /**
   * Hands output to the client. A promise holds the process back until it resolves; nothing means that there is room. Never called again before the promise
   * of the call before has resolved, whatever the stream. A client that has gone throws or rejects.
   */
  write(stream: OutputStream, chunk: Uint8Array): Promise<void> | undefined;
  /** What the client sends; ends at its half-close. Undefined when it sends nothing. */
  readonly input: AsyncIterable<Uint8Array> | undefined;
  /** Aborts when the connection is gone in both directions. */
  readonly gone: AbortSignal;
}

export type OutputStream = 'stdout' | 'stderr';

/** How a connection to a process ended. */
export type AttachEnd = 'ended' | 'detached' | 'gone';

/** A checked, not yet connected attachment. Dispose it when `run` is not called. */
export interface Attachment {
  readonly tty: boolean;
  /**
   * Connects the client and resolves when the output has ended, the client typed the detach keys, or it has gone. Joining happens before the first `await`
   * inside: whoever calls `run` in the same turn as it answers the client misses no output.
   */
  run(client: ClientStream): Promise<AttachEnd>;
}

export interface AttachOptions {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** False: only what was logged so far. */
  readonly stream: boolean;
  /** What was logged so far goes first. */
  readonly logs: boolean;
  /** Such as `ctrl-p,ctrl-q`; empty: the default. */
  readonly detachKeys: string;
}

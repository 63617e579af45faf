export interface LogEntry {
  readonly stream: 'stdout' | 'stderr';
  /** RFC 3339 with nine digits of a second, UTC: `2026-01-02T03:04:05.000000000Z`. */
  readonly time: string;
  /** The line with its newline, if it had one. */
  readonly line: Uint8Array;
}

/** What was read at once, at least one entry. */
export type LogBatch = readonly LogEntry[];

export interface ReadLogs {
  /** Only this many last lines, counted before any other choice is made; undefined: all. */
  readonly tail?: number;
  /** Nanoseconds since 1970; entries before are left out. */
  readonly sinceNano?: bigint;
  /** Nanoseconds since 1970; entries after are left out, and following ends there. */
  readonly untilNano?: bigint;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Go on with what is written later, until `ended` resolves (the container has exited and its log is complete) or the signal aborts. */
  readonly follow?: { readonly ended: Promise<unknown> };
}

/** Keeps older generations of logs whose size is limited. */
export interface LogKeeper {
  /**
   * From now until it is disposed, keeps `files - 1` generations beside the log that the monitor writes. Call it before the container starts,
   * and after a restart of the daemon for those that run.
   */
  keep(containerId: string, files: number): Disposable;
}

/** Reads what a container's monitor logged. */
export interface LogStore {
  /** Where the container's log goes; undefined when this driver keeps none. */
  path(containerId: string, driver: string): string | undefined;
  /**
   * Entries in the order written, as many at a time as were read at once: send a batch on in one write. A log that does not exist yet is empty.
   * Rejects with NotImplemented when the driver cannot be read, at once and not when the first batch is asked for.
   */
  read(containerId: string, driver: string, options: ReadLogs, signal: AbortSignal): AsyncIterable<LogBatch>;
  /** Removes the log; none is fine. */
  remove(containerId: string): Promise<void>;
}

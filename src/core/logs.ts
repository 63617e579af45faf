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

/** A logging driver and its options, as `--log-driver` and `--log-opt` name them. */
export interface LogConfig {
  readonly type: string;
  readonly config: Readonly<Record<string, string>>;
}

/** Whose log it is, and what the log may say of it. */
export interface LogSubject {
  readonly id: string;
  /** Without the leading slash. */
  readonly name: string;
  /** RFC 3339. */
  readonly created: string;
  readonly imageId: string;
  /** As the user wrote it. */
  readonly imageName: string;
  readonly entrypoint: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly logConfig: LogConfig;
}

/** What a log has to know and asks of the run whose output it takes. */
export interface LoggedRun {
  /** It began before this daemon did. */
  readonly goesOn: boolean;
  /** Clients are being given output at this moment: what can wait is not to take their time. */
  isFlowing(): boolean;
  /** Has the monitor begin a new file at the capture's path. A run that has ended is fine. */
  beginCapture(): void;
  /** Keeps the container from writing more until what it returns is disposed: its writes wait. */
  hold(): Promise<Disposable>;
}

/** The log of a run. */
export interface OpenLog {
  /** Where the monitor writes what the container says. */
  readonly capturePath: string;
  /** The monitor begins the file anew, losing what it held, rather than let it grow beyond this; undefined: never. Only a daemon that is away lets it come to that. */
  readonly captureMaxBytes: number | undefined;
  /** Takes what comes: call it before the run starts. Throws when what it is written to cannot be made. */
  begin(): void;
  /**
   * The run has ended: resolves when everything it wrote can be read. What a receiver has not got yet still goes to it. With `removesLog` nobody will read
   * it but those who do already.
   */
  end(options: { readonly removesLog: boolean }): Promise<void>;
}

/** What containers write, kept and passed on as their logging drivers say. */
export interface LogStore {
  /** Drivers there are, in the order of their names, without `none`. */
  readonly drivers: readonly string[];
  /** Rejects with InvalidArgument for a driver that does not exist, an option that the driver does not have, or a value that it cannot take. */
  check(config: LogConfig): void;
  /** The file that others may read while it is written; undefined when the driver has none. */
  path(containerId: string, driver: string): string | undefined;
  /**
   * Makes the file to which the monitor of a run is to write that starts or, after a restart of the daemon, goes on. Undefined: the driver takes nothing. Rejects with FailedPrecondition when the driver is to wait for its receiver and cannot reach it.
   */
  open(subject: LogSubject, run: LoggedRun, signal: AbortSignal): Promise<OpenLog | undefined>;
  /** After a restart of the daemon, for a container that does not run: goes on to pass on what it wrote. True when something was left. */
  resume(subject: LogSubject): Promise<boolean>;
  /**
   * Entries in the order written, as many at a time as were read at once: send a batch on in one write. A log that does not exist yet is empty.
   * Rejects with NotImplemented when the driver cannot be read, at once and not when the first batch is asked for.
   */
  read(containerId: string, config: LogConfig, options: ReadLogs, signal: AbortSignal): AsyncIterable<LogBatch>;
  /** What `details` shows beside each line: the labels, variables and tag that the options choose. */
  details(subject: LogSubject): Readonly<Record<string, string>>;
  /**
   * Lets go of the log of a container whose directory is about to be deleted, after a moment for a receiver to get what it has not got; none is fine.
   */
  forget(containerId: string): Promise<void>;
  /** Lets go of every log; containers go on writing. */
  close(): Promise<void>;
}

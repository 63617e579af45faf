/** Severity, least severe first. */
export const logLevels = ['debug', 'info', 'warn', 'error', 'fatal'] as const;
export type LogLevel = (typeof logLevels)[number];
export type LogFields = Readonly<Record<string, unknown>>;

/** Structured log: one line per event, fields instead of interpolated text. Secrets never belong in a field. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds these fields to every line. */
  with(fields: LogFields): Logger;
}

export interface LogSink {
  level: LogLevel;
  readonly format: 'text' | 'json';
  write(line: string): void;
}

/** `text` lines look like logfmt (`time=… level=info msg="…" key=value`), `json` lines are one object each. */
export function createLogger(sink: LogSink, fields: LogFields = {}): Logger {
  const emit = (level: LogLevel, message: string, extra?: LogFields): void => {
    if (logLevels.indexOf(level) < logLevels.indexOf(sink.level)) return;
    const record: Record<string, unknown> = { time: new Date().toISOString(), level, msg: message, ...fields, ...extra };
    sink.write(`${sink.format === 'json' ? JSON.stringify(record, jsonValue) : logfmt(record)}\n`);
  };
  return {
    debug: (message, extra) => emit('debug', message, extra),
    info: (message, extra) => emit('info', message, extra),
    warn: (message, extra) => emit('warn', message, extra),
    error: (message, extra) => emit('error', message, extra),
    with: more => createLogger(sink, { ...fields, ...more }),
  };
}

export const silentLogger: Logger = createLogger({ level: 'fatal', format: 'text', write: () => undefined });

const jsonValue = (_key: string, value: unknown): unknown => (value instanceof Error ? describeError(value) : value);

function logfmt(record: Readonly<Record<string, unknown>>): string {
  return Object.entries(record)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${quoteIfNeeded(value)}`)
    .join(' ');
}

function quoteIfNeeded(value: unknown): string {
  const text = value instanceof Error ? describeError(value) : typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}

function describeError(err: Error): string {
  const own = err instanceof SuppressedError ? `${String(err.suppressed)} (cleanup failed too: ${String(err.error)})` : err.message;
  return err.cause instanceof Error ? `${own}: ${describeError(err.cause)}` : own;
}

/**
 * Durable records, one table per noun, keyed by text. Calls are synchronous on purpose: the store is embedded, a call takes microseconds, and
 * a change made without an `await` in between cannot interleave with another. A write that returned survives the death of the process.
 */
export interface RecordStore {
  /** The table of this noun; made at its first use. Values are plain JSON data. */
  table<T>(noun: string): RecordTable<T>;
  /** All writes inside happen, or none does. Nested calls join the outer one. */
  transaction<T>(action: () => T): T;
  /** Flushes and closes. A second call does nothing. */
  close(): void;
}

export interface RecordTable<T> {
  get(key: string): T | undefined;
  /** Adds or replaces. */
  put(key: string, value: T): void;
  /** Removes; false when there was none. */
  delete(key: string): boolean;
  /** Every record, in the order of first insertion. */
  list(): { readonly key: string; readonly value: T }[];
}

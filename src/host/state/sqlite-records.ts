import { Database, SQLiteError, type Statement } from 'bun:sqlite';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { resourceExhausted } from '#base/errors.ts';
import type { RecordStore, RecordTable } from '#core/records.ts';
import { reserveBlocks } from '#host/sys/allocate.ts';

/**
 * Records in one SQLite database. WAL with `synchronous=NORMAL`: a write that returned survives the death of the daemon at any instant; a power cut
 * may take back the last moments but never leaves a half-written state. Blocks for coming writes are taken in advance: on a full disk containers must
 * still be able to end, and what fills it must still be removable.
 */
export function openSqliteRecords(path: string): RecordStore {
  const db = new Database(path, { create: true, strict: true });
  db.run('PRAGMA journal_mode = WAL');
  db.run('PRAGMA synchronous = NORMAL');
  db.run('PRAGMA busy_timeout = 5000');
  db.run(
    'CREATE TABLE IF NOT EXISTS records (seq INTEGER PRIMARY KEY, noun TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (noun, key))',
  );
  const statements: Statements = {
    get: db.query('SELECT value FROM records WHERE noun = $noun AND key = $key'),
    put: db.query(
      'INSERT INTO records (noun, key, value) VALUES ($noun, $key, $value) ON CONFLICT (noun, key) DO UPDATE SET value = excluded.value',
    ),
    delete: db.query('DELETE FROM records WHERE noun = $noun AND key = $key'),
    list: db.query('SELECT key, value FROM records WHERE noun = $noun ORDER BY seq'),
  };
  // First of all: SQLite writes to its index through a mapping, and a block that cannot be had then is the end of this process (SIGBUS).
  reserve(`${path}-shm`, indexBytes, 0);
  reserve(`${path}-wal`, walReserveBytes);
  reserve(path, growthReserveBytes);
  let depth = 0;
  let open = true;
  return {
    table: noun => createTable(noun, statements),
    transaction(action) {
      if (depth > 0) return action();
      depth += 1;
      try {
        return explained(db.transaction(action));
      } finally {
        depth -= 1;
      }
    },
    close() {
      if (!open) return;
      open = false;
      db.close(false);
    },
  };
}

/** Two pieces of the index, for 8,000 pages of the log. */
const indexBytes = 64 * 1024;
/** SQLite writes its log from the beginning again after every 4 MB. */
const walReserveBytes = 5 * 1024 * 1024;
const growthReserveBytes = 1024 * 1024;

/** From an offset on, or from the end. */
function reserve(path: string, bytes: number, from?: number): void {
  try {
    const fd = openSync(path, 'r+');
    try {
      reserveBlocks(fd, from ?? fstatSync(fd).size, bytes);
    } finally {
      closeSync(fd);
    }
  } catch {
    // Not every file system can; a disk that is full already cannot either.
  }
}

/** A failure for want of space says so in the words of the system. */
function explained<T>(action: () => T): T {
  try {
    return action();
  } catch (cause) {
    if (!(cause instanceof SQLiteError) || cause.code !== 'SQLITE_FULL') throw cause;
    throw resourceExhausted('no space left on device while writing the database: remove unused images and containers or enlarge the disk', {
      cause,
    });
  }
}

interface Statements {
  readonly get: Statement<{ value: string }, [{ noun: string; key: string }]>;
  readonly put: Statement<unknown, [{ noun: string; key: string; value: string }]>;
  readonly delete: Statement<unknown, [{ noun: string; key: string }]>;
  readonly list: Statement<{ key: string; value: string }, [{ noun: string }]>;
}

function createTable<T>(noun: string, statements: Statements): RecordTable<T> {
  return {
    get(key) {
      const row = statements.get.get({ noun, key });
      return row === null ? undefined : (JSON.parse(row.value) as T);
    },
    put: (key, value) => void explained(() => statements.put.run({ noun, key, value: JSON.stringify(value) })),
    delete: key => explained(() => statements.delete.run({ noun, key }).changes > 0),
    list: () => statements.list.all({ noun }).map(row => ({ key: row.key, value: JSON.parse(row.value) as T })),
  };
}

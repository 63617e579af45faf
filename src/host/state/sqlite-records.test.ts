import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { recordStoreContract } from '#core/records.contract.ts';
import { openSqliteRecords } from './sqlite-records.ts';

recordStoreContract('sqlite', () => {
  const dir = mkdtempSync(join(tmpdir(), 'berth-records-'));
  return { open: () => openSqliteRecords(join(dir, 'berth.db')), dispose: () => rmSync(dir, { recursive: true }) };
});

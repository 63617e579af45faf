import type { RecordStore } from '#core/records.ts';

/** The engine's identity (Engine API: SystemInfo.ID): made at the first start, kept with its data. */
export function engineId(records: RecordStore): string {
  const table = records.table<string>('engine');
  const known = table.get('id');
  if (known !== undefined) return known;
  const id = crypto.randomUUID();
  table.put('id', id);
  return id;
}

import type { RecordTable } from '#core/records.ts';
import type { Attachment, SandboxRecord } from './model.ts';

/** What exists for containers, in memory as in the records. */
export class SandboxTable {
  readonly #records: RecordTable<SandboxRecord>;
  readonly #byContainer = new Map<string, SandboxRecord>();

  constructor(records: RecordTable<SandboxRecord>) {
    this.#records = records;
    for (const { key, value } of records.list()) this.#byContainer.set(key, value);
  }

  get(containerId: string): SandboxRecord | undefined {
    return this.#byContainer.get(containerId);
  }

  put(record: SandboxRecord): void {
    this.#records.put(record.request.containerId, record);
    this.#byContainer.set(record.request.containerId, record);
  }

  delete(containerId: string): void {
    this.#records.delete(containerId);
    this.#byContainer.delete(containerId);
  }

  list(): SandboxRecord[] {
    return [...this.#byContainer.values()];
  }

  /** Who is on a network. */
  on(networkId: string): { readonly sandbox: SandboxRecord; readonly attachment: Attachment }[] {
    return this.list().flatMap(sandbox =>
      sandbox.attachments.filter(attachment => attachment.networkId === networkId).map(attachment => ({ sandbox, attachment })),
    );
  }
}

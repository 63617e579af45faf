import type { RecordTable } from '#core/records.ts';
import type { Attachment, SandboxRecord } from './model.ts';

/** What exists for containers, in memory as in the records. */
export class SandboxTable {
  readonly #records: RecordTable<SandboxRecord>;
  readonly #byContainer = new Map<string, SandboxRecord>();
  /** By network, then by container. */
  readonly #onNetwork = new Map<string, Map<string, SandboxUse>>();

  /** Containers by the ends of their interfaces on the host. */
  readonly #byHostName = new Map<string, string>();

  constructor(records: RecordTable<SandboxRecord>) {
    this.#records = records;
    for (const { value } of records.list()) this.#remember(value);
  }

  get(containerId: string): SandboxRecord | undefined {
    return this.#byContainer.get(containerId);
  }

  /** Whose interface has this end on the host. */
  byHostName(name: string): SandboxRecord | undefined {
    return this.#byContainer.get(this.#byHostName.get(name) ?? '');
  }

  put(record: SandboxRecord): void {
    this.#records.put(record.request.containerId, record);
    this.#forget(record.request.containerId);
    this.#remember(record);
  }

  delete(containerId: string): void {
    this.#records.delete(containerId);
    this.#forget(containerId);
  }

  list(): SandboxRecord[] {
    return [...this.#byContainer.values()];
  }

  /** Who is on a network. */
  on(networkId: string): SandboxUse[] {
    return [...(this.#onNetwork.get(networkId)?.values() ?? [])];
  }

  #remember(sandbox: SandboxRecord): void {
    const { containerId } = sandbox.request;
    this.#byContainer.set(containerId, sandbox);
    for (const attachment of sandbox.attachments) {
      if (attachment.link?.hostName !== undefined) this.#byHostName.set(attachment.link.hostName, containerId);
      const users = this.#onNetwork.get(attachment.networkId) ?? new Map<string, SandboxUse>();
      this.#onNetwork.set(attachment.networkId, users.set(containerId, { sandbox, attachment }));
    }
  }

  #forget(containerId: string): void {
    for (const { networkId, link } of this.#byContainer.get(containerId)?.attachments ?? []) {
      if (link?.hostName !== undefined) this.#byHostName.delete(link.hostName);
      const users = this.#onNetwork.get(networkId);
      users?.delete(containerId);
      if (users?.size === 0) this.#onNetwork.delete(networkId);
    }
    this.#byContainer.delete(containerId);
  }
}

export interface SandboxUse {
  readonly sandbox: SandboxRecord;
  readonly attachment: Attachment;
}

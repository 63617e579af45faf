import { kindOf, messageOf } from '#base/errors.ts';
import { newId } from '#base/id.ts';
import type { Logger } from '#base/log.ts';
import type { NetworkPlugins, RemoteUndo } from '#core/network-plugins.ts';
import type { RecordTable } from '#core/records.ts';

/** A call that a plugin has not heard yet. */
export interface OwedCall {
  /** The plugin's name. */
  readonly plugin: string;
  readonly undo: RemoteUndo;
}

/**
 * What has to be told to plugins that were not there to hear it, or may not have been told by a daemon that was killed. It is told before the next use of
 * the plugin and when the daemon starts.
 */
export class OwedCalls {
  readonly #records: RecordTable<OwedCall>;
  readonly #plugins: NetworkPlugins;
  readonly #log: Logger;

  constructor(records: RecordTable<OwedCall>, plugins: NetworkPlugins, log: Logger) {
    this.#records = records;
    this.#plugins = plugins;
    this.#log = log;
  }

  /** Returns what takes it off the list again. */
  add(owed: OwedCall): () => void {
    const key = newId();
    this.#records.put(key, owed);
    return () => void this.#records.delete(key);
  }

  list(): readonly OwedCall[] {
    return this.#records.list().map(({ value }) => value);
  }

  /** Tells a plugin something now, or later if it is not there. A refusal is logged, and final. True when it was heard. */
  async tell(owed: OwedCall): Promise<boolean> {
    const told = await this.#try(owed);
    if (!told) this.add(owed);
    return told;
  }

  /** Tells a plugin, or everyone, what is owed, in the order in which it came up. Returns in words what was told. */
  async settle(plugin?: string): Promise<string[]> {
    const told: string[] = [];
    const away = new Set<string>();
    for (const { key, value } of this.#records.list()) {
      if ((plugin !== undefined && value.plugin !== plugin) || away.has(value.plugin)) continue;
      if (await this.#try(value)) {
        this.#records.delete(key);
        told.push(`told the plugin ${value.plugin} what was left to tell: ${value.undo.call}`);
      } else away.add(value.plugin);
    }
    return told;
  }

  async #try({ plugin, undo }: OwedCall): Promise<boolean> {
    try {
      const isOfIpam = undo.call === 'ReleasePool' || undo.call === 'ReleaseAddress';
      const driver = isOfIpam
        ? await this.#plugins.ipam(plugin, { isPatient: false })
        : await this.#plugins.network(plugin, { isPatient: false });
      await driver.undo(undo);
      return true;
    } catch (err) {
      const isRefusal = kindOf(err) === 'FailedPrecondition';
      this.#log.warn(
        isRefusal ? 'a plugin refused to take something back' : 'a plugin could not be told to take something back: it is told later',
        {
          plugin,
          call: undo.call,
          error: messageOf(err),
        },
      );
      return isRefusal;
    }
  }
}

import { kindOf, messageOf } from '#base/errors.ts';
import { newId } from '#base/id.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import type { Logger } from '#base/log.ts';
import type { NetworkPlugins, RemoteUndo } from '#core/network-plugins.ts';
import type { RecordTable } from '#core/records.ts';

/** How long a plugin that did not answer is left in peace, and how often it is tried then. */
const restMs = 15_000;

/** A call that a plugin has not heard yet. */
export interface OwedCall {
  /** The plugin's name. */
  readonly plugin: string;
  readonly undo: RemoteUndo;
}

/**
 * What has to be told to plugins that were not there to hear it, or may not have been told by a daemon that was killed. It is told before the next use of
 * the plugin, when the daemon starts, and now and then. One that does not answer is waited for once, not for every call that it should hear.
 */
export class OwedCalls implements Disposable {
  readonly #records: RecordTable<OwedCall>;
  readonly #plugins: NetworkPlugins;
  readonly #log: Logger;
  /** Held while what is owed to a plugin is told: nothing is told twice at the same time. */
  readonly #locks = new KeyedLock();
  /** Plugins that did not answer, until when they are not asked. */
  readonly #resting = new Map<string, number>();
  readonly #held = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isOver = false;

  constructor(records: RecordTable<OwedCall>, plugins: NetworkPlugins, log: Logger) {
    this.#records = records;
    this.#plugins = plugins;
    this.#log = log;
  }

  /** To be told when there is somebody to hear it. */
  add(owed: OwedCall): void {
    this.#records.put(newId(), owed);
  }

  /** To be told if this daemon ends before what it returns is called, and not before. */
  hold(owed: OwedCall): () => void {
    const key = newId();
    this.#held.add(key);
    this.#records.put(key, owed);
    return () => {
      this.#records.delete(key);
      this.#held.delete(key);
    };
  }

  /** Tells a plugin something now, or later if it is not there. A refusal is logged, and final. */
  async tell(owed: OwedCall): Promise<void> {
    const isResting = (this.#resting.get(owed.plugin) ?? 0) > performance.now();
    if (isResting || !(await this.#try(owed))) this.add(owed);
  }

  /** Tells a plugin, or everyone, what is owed, in the order in which it came up. Returns in words what was told. */
  async settle(plugin?: string): Promise<string[]> {
    const names = plugin === undefined ? new Set(this.#records.list().map(({ value }) => value.plugin)) : [plugin];
    const told: string[] = [];
    for (const name of names) told.push(...(await this.#locks.run(name, () => this.#settleWith(name))));
    return told;
  }

  async #settleWith(plugin: string): Promise<string[]> {
    const told: string[] = [];
    for (const { key, value } of this.#records.list()) {
      if (value.plugin !== plugin || this.#held.has(key)) continue;
      if (!(await this.#try(value))) break;
      this.#records.delete(key);
      told.push(`told the plugin ${plugin} what was left to tell: ${value.undo.call}`);
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
      this.#resting.delete(plugin);
      return true;
    } catch (err) {
      const isRefusal = kindOf(err) === 'FailedPrecondition';
      this.#log.warn(
        isRefusal ? 'a plugin refused to take something back' : 'a plugin could not be told to take something back: it is told later',
        { plugin, call: undo.call, error: messageOf(err) },
      );
      if (!isRefusal) this.#rest(plugin);
      return isRefusal;
    }
  }

  #rest(plugin: string): void {
    this.#resting.set(plugin, performance.now() + restMs);
    if (this.#isOver) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.settle();
    }, restMs);
    this.#timer.unref();
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
  }
}

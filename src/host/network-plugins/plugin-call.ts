import { EngineError, kindOf, messageOf } from '#base/errors.ts';
import { PluginFailure } from '#core/network-plugins.ts';
import { MissingMethod, type PluginClient } from '../plugins/client.ts';

export interface CallTimes {
  /** For what may do work. */
  readonly workMs: number;
  /** For what takes something back: it is told again later if there is no answer. */
  readonly undoMs: number;
}

/** For a plugin to say what it is. */
const greetingMs = 10_000;

/** As long as Docker's daemons wait for volumes; a container's end does not wait that long for a plugin. */
export const usualTimes: CallTimes = { workMs: 120_000, undoMs: 10_000 };

/** Calls of one interface of a plugin, whose failures name the plugin and the call. */
export class PluginCalls {
  readonly name: string;
  readonly times: CallTimes;
  readonly #client: PluginClient;
  readonly #interface: string;

  constructor(client: PluginClient, interfaceName: string, times: CallTimes) {
    this.name = client.address.name;
    this.times = times;
    this.#client = client;
    this.#interface = interfaceName;
  }

  /** How long what it is asked about itself may take. */
  get greetingMs(): number {
    return Math.min(greetingMs, this.times.workMs);
  }

  /** Rejects with PluginFailure. */
  async call<T extends object>(method: string, body: object, options: { timeoutMs?: number; isPatient?: boolean } = {}): Promise<T> {
    try {
      return await this.#client.call<T>(`${this.#interface}.${method}`, body, { timeoutMs: this.times.workMs, ...options });
    } catch (err) {
      throw this.failure(err);
    }
  }

  /** Undefined when the plugin does not know the method. */
  async callIfKnown<T extends object>(
    method: string,
    body: object,
    options: { timeoutMs?: number; isPatient?: boolean } = {},
  ): Promise<T | undefined> {
    try {
      return await this.call<T>(method, body, options);
    } catch (err) {
      if (err instanceof PluginFailure && err.cause instanceof MissingMethod) return undefined;
      throw err;
    }
  }

  /** What the plugin has answered makes no sense. */
  nonsense(method: string, what: string): PluginFailure {
    return new PluginFailure('FailedPrecondition', `plugin "${this.name}": ${this.#interface}.${method} answered with ${what}`);
  }

  failure(err: unknown): PluginFailure {
    const kind = kindOf(err) === 'Unavailable' ? 'Unavailable' : 'FailedPrecondition';
    const message = err instanceof EngineError ? messageOf(err) : `${this.#interface}: ${messageOf(err)}`;
    return new PluginFailure(kind, message.startsWith('plugin "') ? message : `plugin "${this.name}": ${message}`, { cause: err });
  }
}

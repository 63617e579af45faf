import type { LogSubject } from '#core/logs.ts';
import type { Sink } from '../delivery/sink.ts';
import type { RenderTemplate } from '../tag.ts';

type Config = Readonly<Record<string, string>>;

/** What the drivers that pass lines on have in common. */
export interface DriverTools {
  readonly render: RenderTemplate;
  /** Where systemd's journal listens. */
  readonly journalSocket: string;
}

/** A logging driver that passes lines on to a receiver. */
export interface LogDriver {
  readonly name: string;
  /** Rejects with InvalidArgument for an option it does not have or a value it cannot take. */
  check(config: Config): void;
  /** Makes the way to the receiver. Nothing is sent before the first flush. */
  open(subject: LogSubject, tools: DriverTools): Receiver;
  /** Whether the user asked that a container does not start without its receiver; `mode=blocking` asks it of every driver. */
  readonly mustConnect?: (config: Config) => boolean;
  readonly retry?: (config: Config) => { readonly firstMs: number; readonly most: number | undefined };
}

export interface Receiver extends Sink {
  /** Connects, if there is anything to connect. Rejects with Unavailable. */
  connect(signal: AbortSignal): Promise<void>;
}

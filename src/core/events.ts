export type EventType = 'container' | 'image' | 'network' | 'volume' | 'daemon' | 'builder';

/** Something that happened to an object (Engine API: EventMessage). */
export interface EngineEvent {
  readonly type: EventType;
  /** Such as `start`, `die`, `exec_create: sh -c …`, `health_status: healthy`. */
  readonly action: string;
  /** The object's id; for volumes its name, for images the id or reference that was acted on. */
  readonly actorId: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** Nanoseconds since 1970. Never goes back within one daemon. */
  readonly timeNano: bigint;
}

/** Where the nouns report what happened. Publishing never fails and never waits for a reader. */
export interface EventPublisher {
  publish(event: Omit<EngineEvent, 'timeNano'>): void;
}

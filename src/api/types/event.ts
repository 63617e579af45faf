/** One event of GET /events. Objects follow each other, one a line. */
export interface EventMessage {
  /** Below API 1.52, for containers and images: the same as `Action`, `Actor.ID` and the image. */
  status?: string | undefined;
  id?: string | undefined;
  from?: string | undefined;
  Type: string;
  Action: string;
  Actor: { ID: string; Attributes: Record<string, string> };
  /** local or swarm. */
  scope: string;
  /** Seconds since 1970. */
  time: number;
  /** Nanoseconds since 1970: beyond the integers that a JavaScript number holds exactly. */
  timeNano: number;
}

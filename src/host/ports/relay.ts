import { closeSync } from 'node:fs';
import { endWriting } from '#host/sys/inet-socket.ts';
import { openPipe, splice } from '#host/sys/splice.ts';

const chunkBytes = 1 << 20;
/** So that one busy connection does not keep the others waiting. */
const roundsAtOnce = 16;

/** What has been read from one side and not yet written to the other waits in a pipe: bytes never leave the kernel. */
interface Direction {
  readonly from: number;
  readonly to: number;
  readonly pipe: { readonly read: number; readonly write: number };
  waiting: number;
  state: 'open' | 'draining' | 'done';
}

/** Two TCP connections joined. Each side's end of writing is passed on; the relay is over when both have ended or one has failed. */
export class Relay {
  readonly #client: number;
  readonly #server: number;
  readonly #directions: readonly [Direction, Direction];
  #closed = false;

  constructor(client: number, server: number) {
    this.#client = client;
    this.#server = server;
    this.#directions = [direction(client, server), direction(server, client)];
  }

  /** Moves what can be moved. Returns `more` when it stopped for the sake of others, `over` when it has closed itself. */
  advance(): 'waiting' | 'more' | 'over' {
    if (this.#closed) return 'over';
    try {
      const more = this.#directions.map(pump).includes(true);
      if (this.#directions.every(({ state }) => state === 'done')) return this.#close();
      return more ? 'more' : 'waiting';
    } catch {
      // Refused or reset by one side: the other learns it by losing its connection.
      return this.#close();
    }
  }

  get descriptors(): readonly [number, number] {
    return [this.#client, this.#server];
  }

  #close(): 'over' {
    this.#closed = true;
    for (const { pipe } of this.#directions) {
      closeSync(pipe.read);
      closeSync(pipe.write);
    }
    closeSync(this.#client);
    closeSync(this.#server);
    return 'over';
  }
}

const direction = (from: number, to: number): Direction => ({ from, to, pipe: openPipe(), waiting: 0, state: 'open' });

/** True when there is more to do than one turn allows. */
function pump(way: Direction): boolean {
  for (let round = 0; round < roundsAtOnce; round++) {
    let moved = false;
    if (way.state === 'open') {
      const taken = splice(way.from, way.pipe.write, chunkBytes);
      if (taken === 0) way.state = 'draining';
      else if (taken !== undefined) {
        way.waiting += taken;
        moved = true;
      }
    }
    if (way.waiting > 0) {
      const given = splice(way.pipe.read, way.to, way.waiting);
      if (given !== undefined) {
        way.waiting -= given;
        moved = true;
      }
    }
    if (way.state === 'draining' && way.waiting === 0) {
      endWriting(way.to);
      way.state = 'done';
    }
    if (!moved) return false;
  }
  return true;
}

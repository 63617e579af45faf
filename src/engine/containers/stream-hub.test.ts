import { describe, expect, test } from 'bun:test';
import { createLogger } from '#base/log.ts';
import type { ProcessStreams } from '#core/runtime.ts';
import type { ClientStream, OutputStream } from './attach-types.ts';
import { type JoinOptions, StreamHub } from './stream-hub.ts';

const log = createLogger({ level: 'error', format: 'text', write: () => undefined });

const join = (more: Partial<JoinOptions> = {}): JoinOptions => ({
  stdout: true,
  stderr: true,
  tty: false,
  closesStdin: false,
  detachKeys: [16, 17],
  ...more,
});

/** A process whose output the test speaks and whose input it hears. */
class FakeProcess implements ProcessStreams {
  readonly heard: string[] = [];
  stdinClosed = false;
  disposed = false;
  readonly #closed = Promise.withResolvers<void>();
  readonly closed = this.#closed.promise;
  #listener: (stream: OutputStream, chunk: Uint8Array) => void | Promise<void> = () => undefined;

  onOutput(listener: (stream: OutputStream, chunk: Uint8Array) => void | Promise<void>): void {
    this.#listener = listener;
  }
  /** What the listener returned: a promise holds the process back. */
  say(text: string, stream: OutputStream = 'stdout'): void | Promise<void> {
    return this.#listener(stream, Buffer.from(text));
  }
  writeStdin(chunk: Uint8Array): Promise<void> {
    this.heard.push(Buffer.from(chunk).toString('latin1'));
    return Promise.resolve();
  }
  closeStdin(): Promise<void> {
    this.stdinClosed = true;
    return Promise.resolve();
  }
  end(): void {
    this.#closed.resolve();
  }
  fail(): void {
    this.#closed.reject(new Error('connection reset'));
  }
  [Symbol.dispose](): void {
    this.disposed = true;
  }
}

class FakeClient implements ClientStream {
  readonly input: AsyncIterable<Uint8Array> | undefined;
  readonly #gone = new AbortController();
  readonly gone = this.#gone.signal;
  seen = '';
  /** Set: writes wait until `take()`. */
  slow = false;
  broken = false;
  #take: (() => void) | undefined;

  constructor(...input: readonly string[]) {
    this.input = input.length === 0 ? undefined : toStream(input);
  }
  write(stream: OutputStream, chunk: Uint8Array): Promise<void> | undefined {
    if (this.broken) throw new Error('broken pipe');
    if (this.#take !== undefined) throw new Error('written to before the write before was taken');
    const arrived = (): void => {
      this.seen += (stream === 'stderr' ? '!' : '') + Buffer.from(chunk).toString();
    };
    if (!this.slow) return void arrived();
    return new Promise(resolve => {
      this.#take = () => {
        this.#take = undefined;
        arrived();
        resolve();
      };
    });
  }
  take(): void {
    this.#take?.();
  }
  hangUp(): void {
    this.#gone.abort(new Error('gone'));
  }
}

async function* toStream(texts: readonly string[]): AsyncIterable<Uint8Array> {
  for (const text of texts) yield Buffer.from(text, 'latin1');
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

function hubWith(process = new FakeProcess()): { hub: StreamHub; process: FakeProcess } {
  const hub = new StreamHub(log);
  hub.connect(process);
  return { hub, process };
}

describe('output', () => {
  test('every client gets what it asked for, from when it joined, and is told of the end', async () => {
    const { hub, process } = hubWith();
    const [both, onlyErrors, late] = [new FakeClient(), new FakeClient(), new FakeClient()];
    const ends = [hub.join(both, join()), hub.join(onlyErrors, join({ stdout: false }))];
    await process.say('a');
    ends.push(hub.join(late, join()));
    await process.say('b', 'stderr');
    process.end();
    expect(await Promise.all(ends)).toEqual(['ended', 'ended', 'ended']);
    expect([both.seen, onlyErrors.seen, late.seen]).toEqual(['a!b', '!b', '!b']);
    expect(process.disposed).toBe(true);
  });

  test('clients may join before there is a process', async () => {
    const hub = new StreamHub(log);
    const client = new FakeClient();
    const end = hub.join(client, join());
    expect(hub.isWanted).toBe(true);
    const process = new FakeProcess();
    hub.connect(process);
    await process.say('first');
    process.end();
    expect(await end).toBe('ended');
    expect(client.seen).toBe('first');
  });

  test('a client that is far behind holds the process back, others have theirs at once', async () => {
    const { hub, process } = hubWith();
    const [slow, fast] = [new FakeClient(), new FakeClient()];
    slow.slow = true;
    const ends = [hub.join(slow, join()), hub.join(fast, join())];
    const chunk = 'x'.repeat(400_000);
    expect(process.say(chunk)).toBeUndefined();
    expect(process.say(chunk)).toBeUndefined();
    const held = process.say(chunk);
    expect(held).toBeInstanceOf(Promise);
    expect(fast.seen).toHaveLength(1_200_000);
    let isHeld = true;
    void Promise.resolve(held).then(() => (isHeld = false));
    slow.take();
    await turn();
    expect(isHeld).toBe(true);
    slow.slow = false;
    slow.take();
    await held;
    expect(slow.seen).toHaveLength(1_200_000);
    process.end();
    expect(await Promise.all(ends)).toEqual(['ended', 'ended']);
  });

  test('the end waits until the last client has taken all', async () => {
    const { hub, process } = hubWith();
    const slow = new FakeClient();
    slow.slow = true;
    const end = hub.join(slow, join());
    void process.say('last');
    process.end();
    await turn();
    slow.take();
    expect(await end).toBe('ended');
    expect(slow.seen).toBe('last');
  });

  test('a client that goes or fails holds nobody', async () => {
    const { hub, process } = hubWith();
    const [stuck, broken, fine] = [new FakeClient(), new FakeClient(), new FakeClient()];
    stuck.slow = true;
    broken.broken = true;
    const ends = [hub.join(stuck, join()), hub.join(broken, join()), hub.join(fine, join())];
    const held = process.say('y'.repeat(1_100_000));
    stuck.hangUp();
    await held;
    await process.say('z');
    expect(await Promise.all(ends.slice(0, 2))).toEqual(['gone', 'gone']);
    expect(fine.seen).toHaveLength(1_100_001);
    process.end();
    expect(await ends[2]).toBe('ended');
  });

  test('what goes first goes first', async () => {
    const { hub, process } = hubWith();
    const client = new FakeClient();
    const replay = Promise.withResolvers<void>();
    const end = hub.join(
      client,
      join({ first: async to => (await replay.promise, await to.write('stdout', Buffer.from('old ')), undefined) }),
    );
    void process.say('new');
    replay.resolve();
    process.end();
    await end;
    expect(client.seen).toBe('old new');
  });

  test('a connection that breaks ends like one that closes', async () => {
    const { hub, process } = hubWith();
    const end = hub.join(new FakeClient(), join());
    process.fail();
    expect(await end).toBe('ended');
    expect(await hub.join(new FakeClient(), join())).toBe('ended');
  });

  test('closing lets go of everybody', async () => {
    const { hub, process } = hubWith();
    const end = hub.join(new FakeClient(), join());
    hub.close();
    expect(await end).toBe('gone');
    expect(process.disposed).toBe(true);
  });
});

describe('input', () => {
  test('reaches the process; its end ends the input only for a client that may', async () => {
    const { hub, process } = hubWith();
    expect(await hub.join(new FakeClient('one', 'two'), join())).toBe('gone');
    expect(process.heard).toEqual(['one', 'two']);
    expect(process.stdinClosed).toBe(false);
    const last = hub.join(new FakeClient('three'), join({ closesStdin: true }));
    await turn();
    expect(process.stdinClosed).toBe(true);
    await process.say('answer');
    process.end();
    expect(await last).toBe('ended');
  });

  test('waits for the process', async () => {
    const hub = new StreamHub(log);
    const end = hub.join(new FakeClient('early'), join({ closesStdin: true }));
    const process = new FakeProcess();
    hub.connect(process);
    await turn();
    expect(process.heard).toEqual(['early']);
    process.end();
    expect(await end).toBe('ended');
  });

  test('detach keys of a terminal let the client go; what was typed before arrives', async () => {
    const { hub, process } = hubWith();
    expect(await hub.join(new FakeClient('ls\n\x10', '\x11rest'), join({ tty: true }))).toBe('detached');
    expect(process.heard).toEqual(['ls\n']);
    expect(await hub.join(new FakeClient('\x10\x11'), join())).toBe('gone');
    expect(process.heard).toEqual(['ls\n', '\x10\x11']);
  });
});

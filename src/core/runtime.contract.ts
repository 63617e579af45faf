import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import { readdirSync } from 'node:fs';
import { kindOf, messageOf } from '#base/errors.ts';
import { newId } from '#base/id.ts';
import type { ProcessSpec, RuntimeSpec } from '#oci/runtime-spec.ts';
import type { ContainerRuntime, ProcessIo, ProcessStreams, RuntimeBinary } from './runtime.ts';

/** What a test of one runtime provides. Its root file system has busybox as `sh`, `cat`, `sleep`, `stty` in /bin and a text file /not-executable. */
export interface RuntimeUnderTest {
  readonly runtime: ContainerRuntime;
  readonly binary: RuntimeBinary;
  spec(id: string, args: readonly string[], memoryBytes?: number): RuntimeSpec;
  /** Limits of a container as the kernel has them; undefined: none. */
  limits(id: string): { readonly memoryBytes: number | undefined; readonly pids: number | undefined };
  /** A runtime on the same directories, as after a restart of the daemon. */
  reopen(): Promise<ContainerRuntime>;
  /** Files, processes and cgroups of this container that are still there, in words. */
  traces(id: string): string[];
  dispose(): Promise<void>;
}

const quiet: ProcessIo = { tty: false, stdin: false, keepStdinOpen: false };
const interactive: ProcessIo = { tty: false, stdin: true, keepStdinOpen: false };
const terminal: ProcessIo = { tty: true, stdin: true, keepStdinOpen: false };
const never = new AbortController().signal;
const MiB = 1024 * 1024;

export function runtimeContract(name: string, open: () => Promise<RuntimeUnderTest>): void {
  describe(`container runtime: ${name}`, () => {
    let under: RuntimeUnderTest;
    let runtime: ContainerRuntime;
    let id: string;

    beforeAll(async () => {
      under = await open();
      ({ runtime } = under);
    });
    afterAll(() => under.dispose());
    afterEach(async () => {
      await runtime.remove(id);
      expect(under.traces(id)).toEqual([]);
    });

    const create = async (args: readonly string[], io = quiet, memoryBytes?: number): Promise<{ readonly pid: number }> => {
      id = newId();
      return await runtime.create({ id, spec: under.spec(id, args, memoryBytes), runtime: under.binary, io, logPath: undefined }, never);
    };
    const run = async (args: readonly string[], io = quiet, memoryBytes?: number): Promise<Collected> => {
      await create(args, io, memoryBytes);
      const output = collect(await runtime.attach({ containerId: id }));
      await runtime.start(id, never);
      return output;
    };
    const exec = async (args: readonly string[], io = quiet): Promise<Collected> => {
      let output: Collected | undefined;
      const options = { containerId: id, execId: 'one', process: processSpec(args), runtime: under.binary, io };
      await runtime.exec({ ...options, beforeOutput: streams => (output = collect(streams)) }, never);
      if (output === undefined) throw new Error('beforeOutput was not called');
      return output;
    };

    test('runs a process and tells its output and exit code', async () => {
      const output = await run(['sh', '-c', 'echo out; echo err >&2; exit 3']);
      const exit = await runtime.wait({ containerId: id });
      await output.streams.closed;
      expect(output.text('stdout')).toBe('out\n');
      expect(output.text('stderr')).toBe('err\n');
      expect(exit.exitCode).toBe(3);
      expect(exit.oomKilled).toBe(false);
      expect(Math.abs(exit.exitedAt.getTime() - Date.now())).toBeLessThan(10_000);
    });

    test('delivers everything, however much, to every connection before closed resolves', async () => {
      await create(['sh', '-c', 'head -c 8000000 /dev/zero']);
      const [one, two] = [collect(await runtime.attach({ containerId: id })), collect(await runtime.attach({ containerId: id }))];
      await runtime.start(id, never);
      await Promise.all([one.streams.closed, two.streams.closed]);
      expect([one.bytes(), two.bytes()]).toEqual([8_000_000, 8_000_000]);
    });

    test('a listener that takes its time is not given more until it is done', async () => {
      await create(['sh', '-c', 'head -c 400000 /dev/zero']);
      const streams = await runtime.attach({ containerId: id });
      let [busy, most, bytes] = [0, 0, 0];
      streams.onOutput(async (_stream, chunk) => {
        bytes += chunk.length;
        most = Math.max(most, (busy += 1));
        await Bun.sleep(1);
        busy -= 1;
      });
      await runtime.start(id, never);
      await streams.closed;
      expect({ most, bytes, busy }).toEqual({ most: 1, bytes: 400_000, busy: 0 });
    });

    test('kill() of an exec with `all` ends what it started too, and nothing else', async () => {
      await run(['sh', '-c', 'sleep 60; sleep 61']);
      await until(async () => (await runtime.pids(id)).length === 2);
      const others = await runtime.pids(id);
      await exec(['sh', '-c', 'sleep 60 & (sleep 61; sleep 62) & sleep 63; true']);
      await until(async () => (await runtime.pids(id)).length === 7);
      await runtime.kill(id, 9, { execId: 'one', all: true });
      expect((await runtime.wait({ containerId: id, execId: 'one' })).exitCode).toBe(137);
      await until(async () => (await runtime.pids(id)).length === 2);
      expect((await runtime.pids(id)).toSorted()).toEqual(others.toSorted());
      expect(kindOf(await rejection(runtime.kill(id, 9, { execId: 'one', all: true })))).toBe('NotFound');
    });

    test.each([
      [['no-such-program'], 'exec: "no-such-program": executable file not found in $PATH'],
      [['/bin/no-such-program'], 'no such file or directory'],
      [['/not-executable'], 'permission denied'],
    ])('create() of %p rejects in the words that clients know and leaves nothing', async (args, words) => {
      const failure = await rejection(create(args));
      expect(kindOf(failure)).toBe('FailedPrecondition');
      expect(messageOf(failure)).toContain('OCI runtime create failed: ');
      expect(messageOf(failure)).toContain(words);
      expect(under.traces(id)).toEqual([]);
    });

    test('update() changes the limits that are named, and keeps the others', async () => {
      await run(['sleep', '60'], quiet, 64 * MiB);
      expect(under.limits(id)).toEqual({ memoryBytes: 64 * MiB, pids: undefined });
      await runtime.update(id, { pids: { limit: 20 } });
      expect(under.limits(id)).toEqual({ memoryBytes: 64 * MiB, pids: 20 });
      await runtime.update(id, { memory: { limit: 128 * MiB, swap: 256 * MiB }, pids: { limit: -1 } });
      expect(under.limits(id)).toEqual({ memoryBytes: 128 * MiB, pids: undefined });
      await runtime.update(id, { memory: { limit: 32 * MiB, swap: 32 * MiB } });
      expect(under.limits(id)).toEqual({ memoryBytes: 32 * MiB, pids: undefined });
    });

    test('update() that is refused rejects with FailedPrecondition and changes nothing', async () => {
      await run(['sleep', '60'], quiet, 64 * MiB);
      await runtime.update(id, { pids: { limit: 20 } });
      // A processor that no machine has, beside limits that are fine.
      const impossible = { memory: { limit: 128 * MiB, swap: 128 * MiB }, pids: { limit: 30 }, cpu: { cpus: '9999' } };
      expect(kindOf(await rejection(runtime.update(id, impossible)))).toBe('FailedPrecondition');
      expect(under.limits(id)).toEqual({ memoryBytes: 64 * MiB, pids: 20 });
    });

    test('create() whose spec does not come to be rejects with the reason and leaves nothing', async () => {
      id = newId();
      const spec = Promise.reject(new Error('no address left'));
      const failure = await rejection(runtime.create({ id, spec, runtime: under.binary, io: terminal, logPath: undefined }, never));
      expect(messageOf(failure)).toBe('no address left');
      expect(under.traces(id)).toEqual([]);
    });

    test('usage() tells what it uses, and rejects with NotFound when it has gone', async () => {
      await run(['sleep', '60'], quiet, 64 * MiB);
      const usage = await runtime.usage(id);
      // Threads of the runtime may not have gone yet.
      expect(Number(usage.processes.current)).toBeGreaterThanOrEqual(1);
      expect(Number(usage.cpu.totalNs)).toBeGreaterThan(0);
      expect(Number(usage.memory.usageBytes)).toBeGreaterThan(0);
      expect(usage.memory.limitBytes).toBe(64 * MiB);
      await runtime.remove(id);
      expect(kindOf(await rejection(runtime.usage(id)))).toBe('NotFound');
    });

    test('create() of an id that exists rejects with AlreadyExists', async () => {
      await create(['sleep', '60']);
      const again = runtime.create({ id, spec: under.spec(id, ['sh']), runtime: under.binary, io: quiet, logPath: undefined }, never);
      expect(kindOf(await rejection(again))).toBe('AlreadyExists');
    });

    test('stdin reaches the process, its end too, and output goes on after it', async () => {
      const output = await run(['sh', '-c', 'cat; echo end'], interactive);
      const much = new Uint8Array(1_000_000).fill(0x61);
      await output.streams.writeStdin(much);
      await output.streams.closeStdin();
      await output.streams.closed;
      expect(output.bytes()).toBe(much.length + 4);
      expect(output.text('stdout').endsWith('aend\n')).toBe(true);
    });

    test('a connection that goes leaves stdin open for the next', async () => {
      const first = await run(['cat'], interactive);
      await first.streams.writeStdin(bytesOf('one\n'));
      await first.until('one\n');
      first.streams[Symbol.dispose]();
      const second = collect(await runtime.attach({ containerId: id }));
      await second.streams.writeStdin(bytesOf('two\n'));
      await second.until('two\n');
      await second.streams.closeStdin();
      expect((await runtime.wait({ containerId: id })).exitCode).toBe(0);
    });

    test('kill() reaches the first process; afterwards it rejects with NotFound', async () => {
      const output = await run(['sh', '-c', 'trap "exit 5" TERM; echo ready; while :; do sleep 0.05; done']);
      await output.until('ready\n');
      await runtime.kill(id, 15);
      expect((await runtime.wait({ containerId: id })).exitCode).toBe(5);
      expect(kindOf(await rejection(runtime.kill(id, 15)))).toBe('NotFound');
    });

    test('a process that a signal ended has 128 and the signal as exit code', async () => {
      await run(['sleep', '60']);
      await runtime.kill(id, 9, { all: true });
      expect((await runtime.wait({ containerId: id })).exitCode).toBe(137);
    });

    test('without a pid namespace of its own, what a container started ends with its first process', async () => {
      id = newId();
      const spec = under.spec(id, ['sh', '-c', 'sleep 61 & echo $!; exit 0']);
      spec.linux.namespaces = spec.linux.namespaces.filter(namespace => namespace.type !== 'pid');
      await runtime.create({ id, spec, runtime: under.binary, io: quiet, logPath: undefined }, never);
      const output = collect(await runtime.attach({ containerId: id }));
      await runtime.start(id, never);
      expect((await runtime.wait({ containerId: id })).exitCode).toBe(0);
      await output.streams.closed;
      expect(Number(output.text('stdout'))).toBeGreaterThan(1);
      expect(await runtime.pids(id)).toEqual([]);
    });

    test('a process that took too much memory is reported as such', async () => {
      await run(['sh', '-c', 'x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done'], quiet, 16 << 20);
      const exit = await runtime.wait({ containerId: id });
      expect(exit).toMatchObject({ exitCode: 137, oomKilled: true });
    });

    test('a terminal has the size it was given last, and delivers everything as stdout', async () => {
      // The size and the input take different ways: the size may be the later one.
      const waiting = 'read x; until [ "$(stty size 2>/dev/null)" = "33 99" ]; do :; done; stty size; echo err >&2';
      const output = await run(['sh', '-c', waiting], terminal);
      await runtime.resize({ containerId: id }, { height: 33, width: 99 });
      await output.streams.writeStdin(bytesOf('go\n'));
      await output.streams.closed;
      expect(output.text('stdout')).toContain('33 99\r\nerr\r\n');
      expect(output.text('stderr')).toBe('');
    });

    test('exec runs another process inside', async () => {
      await run(['sleep', '60']);
      const output = await exec(['sh', '-c', 'echo out; echo err >&2; exit 7']);
      const exit = await runtime.wait({ containerId: id, execId: 'one' });
      await output.streams.closed;
      expect([output.text('stdout'), output.text('stderr'), exit.exitCode]).toEqual(['out\n', 'err\n', 7]);
      await runtime.removeExec({ containerId: id, execId: 'one' });
      expect(kindOf(await rejection(runtime.wait({ containerId: id, execId: 'one' })))).toBe('NotFound');
    });

    test('exec has stdin and a terminal of its own, and can be killed', async () => {
      await run(['sleep', '60']);
      const output = await exec(['sh'], terminal);
      await runtime.resize({ containerId: id, execId: 'one' }, { height: 20, width: 30 });
      await output.streams.writeStdin(bytesOf('stty size\n'));
      await output.until('20 30');
      await runtime.kill(id, 9, { execId: 'one' });
      expect((await runtime.wait({ containerId: id, execId: 'one' })).exitCode).toBe(137);
    });

    test.each([
      [['no-such-program'], 'exec: "no-such-program": executable file not found in $PATH'],
      [['/not-executable'], 'permission denied'],
    ])('exec of %p rejects in the words that clients know', async (args, words) => {
      await run(['sleep', '60']);
      const failure = await rejection(exec(args));
      expect(kindOf(failure)).toBe('FailedPrecondition');
      expect(messageOf(failure)).toContain(words);
    });

    test('pause() stops every process, pids() still names them, and remove() ends them', async () => {
      await run(['sh', '-c', 'sleep 60; echo never']);
      await until(async () => (await runtime.pids(id)).length === 2);
      await runtime.pause(id);
      expect(await runtime.pids(id)).toHaveLength(2);
    });

    test('unpause() lets the processes go on', async () => {
      const output = await run(['sh', '-c', 'read x; echo again'], interactive);
      await runtime.pause(id);
      await output.streams.writeStdin(bytesOf('go\n'));
      await runtime.unpause(id);
      await output.streams.closed;
      expect(output.text('stdout')).toBe('again\n');
    });

    test('remove() may come at any point, and again', async () => {
      await create(['sleep', '60']);
      await runtime.remove(id);
      await runtime.remove(id);
      expect(under.traces(id)).toEqual([]);
      expect(kindOf(await rejection(runtime.wait({ containerId: id })))).toBe('NotFound');
      expect(kindOf(await rejection(runtime.attach({ containerId: id })))).toBe('NotFound');
    });

    test('a new runtime knows what ran, what ended meanwhile, and removes what nobody knows', async () => {
      await run(['sh', '-c', 'read x; exit 6'], { ...interactive, keepStdinOpen: true });
      const running = id;
      await exec(['sh', '-c', 'sleep 0.2; exit 4']);
      await run(['sh', '-c', 'exit 2']);
      await runtime.wait({ containerId: id });
      const ended = id;
      await run(['sleep', '60']);
      const unknown = id;
      await run(['sleep', '60']);
      const paused = id;
      await runtime.pause(paused);
      runtime = await under.reopen();
      const found = new Map((await runtime.recover(new Set([running, ended, paused]))).map(one => [one.id, one.state]));
      expect([...found.keys()].toSorted()).toEqual([running, ended, paused].toSorted());
      expect(found.get(running)).toMatchObject({ status: 'running', paused: false });
      expect(found.get(ended)).toMatchObject({ status: 'exited' });
      expect(found.get(paused)).toMatchObject({ status: 'running', paused: true });
      await runtime.remove(paused);
      expect((await runtime.wait({ containerId: ended })).exitCode).toBe(2);
      expect((await runtime.wait({ containerId: running, execId: 'one' })).exitCode).toBe(4);
      const streams = await runtime.attach({ containerId: running });
      await streams.writeStdin(bytesOf('go\n'));
      expect((await runtime.wait({ containerId: running })).exitCode).toBe(6);
      expect(under.traces(unknown)).toEqual([]);
      await runtime.remove(running);
      await runtime.remove(ended);
      expect([...under.traces(running), ...under.traces(ended)]).toEqual([]);
    });

    test('leaves no descriptor open', async () => {
      const cycle = async (): Promise<void> => {
        const output = await run(['sleep', '60'], interactive);
        await exec(['sh', '-c', 'exit 0']);
        await runtime.wait({ containerId: id, execId: 'one' });
        output.streams[Symbol.dispose]();
        await runtime.remove(id);
      };
      await cycle();
      const before = openDescriptors();
      for (let round = 0; round < 5; round += 1) await cycle();
      await until(() => openDescriptors() <= before);
    });
  });
}

interface Collected {
  readonly streams: ProcessStreams;
  text(stream: 'stdout' | 'stderr'): string;
  bytes(): number;
  /** Resolves when the output contains this text. */
  until(text: string): Promise<void>;
}

function collect(streams: ProcessStreams): Collected {
  const chunks = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  streams.onOutput((stream, chunk) => {
    chunks[stream].push(Buffer.from(chunk));
  });
  const text = (stream: 'stdout' | 'stderr'): string => Buffer.concat(chunks[stream]).toString();
  return {
    streams,
    text,
    bytes: () => [...chunks.stdout, ...chunks.stderr].reduce((sum, chunk) => sum + chunk.length, 0),
    until: wanted => until(() => text('stdout').includes(wanted)),
  };
}

async function until(check: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error('not within ten seconds');
    await Bun.sleep(2);
  }
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => {
      throw new Error('it did not reject');
    },
    (err: unknown) => err,
  );
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const openDescriptors = (): number => readdirSync('/proc/self/fd').length;
const processSpec = (args: readonly string[]): ProcessSpec => ({ user: { uid: 0, gid: 0 }, args: [...args], env: ['PATH=/bin'], cwd: '/' });

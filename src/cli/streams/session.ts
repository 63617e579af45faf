import { FrameReader } from '#api/stream-framing.ts';
import { internal } from '#base/errors.ts';
import type { HijackedStream } from '#client/hijack.ts';
import type { Cli } from '../cli.ts';
import { DetachWatcher } from './detach-keys.ts';

export interface SessionOptions {
  /** Output is one raw stream and not framed. */
  readonly tty: boolean;
  /** Pass this process's stdin on. */
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Watched for on a terminal only. */
  readonly detachKeys?: Uint8Array;
}

export type SessionEnd = 'ended' | 'detached';

/**
 * Connects this process's streams to a hijacked stream until its output ends or somebody types the detach keys. With `tty` and a terminal, the
 * terminal is raw meanwhile; it is set back in every case.
 */
export async function runSession(cli: Cli, stream: HijackedStream, options: SessionOptions): Promise<SessionEnd> {
  const detached = Promise.withResolvers<SessionEnd>();
  const input = options.stdin ? startInput(stream, options, () => detached.resolve('detached')) : undefined;
  try {
    if (!options.stdin) stream.closeWrite();
    return await Promise.race([copyOutput(cli, stream.output, options).then((): SessionEnd => 'ended'), detached.promise]);
  } finally {
    input?.stop();
    stream.close();
  }
}

/** Writes what arrives to stdout and stderr, unpacking frames when there is no terminal. */
export async function copyOutput(
  cli: Cli,
  source: AsyncIterable<Uint8Array>,
  { tty, stdout, stderr }: { readonly tty: boolean; readonly stdout: boolean; readonly stderr: boolean },
): Promise<void> {
  if (tty) {
    for await (const chunk of source) if (stdout) cli.out.write(chunk);
    return;
  }
  let systemError = '';
  const reader = new FrameReader((type, payload) => {
    if (type === 'systemerr') systemError += Buffer.from(payload).toString();
    else if (type === 'stderr') {
      if (stderr) cli.err.write(payload);
    } else if (stdout) cli.out.write(payload);
  });
  for await (const chunk of source) reader.push(chunk);
  if (systemError !== '') throw internal(`error from daemon in stream: ${systemError}`);
}

interface Input {
  stop(): void;
}

function startInput(stream: HijackedStream, options: SessionOptions, onDetach: () => void): Input {
  if (!isInputTerminal()) return pipeInput(stream);
  const watcher = options.tty && options.detachKeys !== undefined ? new DetachWatcher(options.detachKeys) : undefined;
  if (options.tty) makeRaw();
  const take = (typed: Buffer): void => {
    const { pass, detached } = watcher?.push(typed) ?? { pass: typed, detached: false };
    if (pass.length > 0) void stream.write(pass);
    if (detached) onDetach();
  };
  process.stdin.on('data', take);
  process.stdin.once('end', () => stream.closeWrite());
  return {
    stop() {
      process.stdin.off('data', take);
      process.stdin.pause();
      if (options.tty) process.stdin.setRawMode(false);
    },
  };
}

/**
 * What the container's terminal sends is finished: this one must not add carriage returns. Raw mode leaves that on, so stty turns it off; leaving
 * raw mode restores everything.
 */
function makeRaw(): void {
  process.stdin.setRawMode(true);
  try {
    Bun.spawnSync(['stty', '-opost'], { stdin: 'inherit', stdout: 'ignore', stderr: 'ignore' });
  } catch {
    // Without stty, lines end with one carriage return too many, which terminals do not show.
  }
}

export const isInputTerminal = (): boolean => process.getBuiltinModule('node:tty').isatty(0);

/** Reads stdin no faster than the daemon takes it, and passes its end on. */
function pipeInput(stream: HijackedStream): Input {
  const reader = Bun.stdin.stream().getReader();
  const pump = async (): Promise<void> => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      await stream.write(value);
    }
    stream.closeWrite();
  };
  // Input that cannot be read has ended.
  pump().catch(() => stream.closeWrite());
  return { stop: () => void reader.cancel().catch(() => undefined) };
}

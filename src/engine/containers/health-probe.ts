import { endsWithin } from '#base/ends-within.ts';
import { conflict, kindOf, messageOf } from '#base/errors.ts';
import type { ProcessStreams } from '#core/runtime.ts';
import type { Context } from './context.ts';
import type { Entry } from './entry.ts';
import type { Exec } from './exec.ts';
import { registerExec, runExec } from './exec-start.ts';
import { durationText, type HealthCheck } from './health.ts';
import type { ProbeResult } from './model.ts';
import type { ExecConfig } from './service.ts';
import { requireUnpaused } from './state.ts';

const outputBytes = 4096;
/** Getting a process to run is not its own time, and must not take for ever. */
const startMs = 30_000;
/** What is killed ends in this time, unless it waits for a device. */
const killMs = 10_000;
const sigkill = 9;

/** Runs the check once. Never rejects: what goes wrong is a failed probe. When `watch` aborts the probe is ended and its result means nothing. */
export async function runProbe(ctx: Context, entry: Entry, check: HealthCheck, watch: AbortSignal): Promise<ProbeResult> {
  const start = new Date().toISOString();
  const outcome = await attempt(ctx, entry, check, watch).catch((err: unknown) => ({ exitCode: -1, output: messageOf(err) }));
  return { start, end: new Date().toISOString(), ...outcome };
}

async function attempt(
  ctx: Context,
  entry: Entry,
  check: HealthCheck,
  watch: AbortSignal,
): Promise<{ readonly exitCode: number; readonly output: string }> {
  // So many start at a time, however many are due: after a start of the daemon all may be.
  const { exec, output, ended } = await ctx.probeStarts.run(watch, () => startProbe(ctx, entry, check));
  const stop = (): void => void endProbe(ctx, entry, exec);
  watch.addEventListener('abort', stop, { once: true });
  try {
    if (watch.aborted) stop();
    if (await endsWithin(ended, check.timeoutMs)) {
      return { exitCode: exec.state.status === 'ended' ? exec.state.exitCode : -1, output: await output.whole() };
    }
    await endProbe(ctx, entry, exec);
    // What left the probe's session may go on and keep its output open.
    await endsWithin(ended, killMs);
    const said = output.soFar();
    return { exitCode: -1, output: `Health check exceeded timeout (${durationText(check.timeoutMs)})${said === '' ? '' : `: ${said}`}` };
  } finally {
    watch.removeEventListener('abort', stop);
  }
}

interface StartedProbe {
  readonly exec: Exec;
  readonly output: Output;
  readonly ended: Promise<void>;
}

async function startProbe(ctx: Context, entry: Entry, check: HealthCheck): Promise<StartedProbe> {
  requireUnpaused(entry.container);
  // Nobody was told its id, so nobody asks about it; a check every second would leave hundreds of them.
  const exec = registerExec(ctx, entry, configOf(check), false);
  const output = new Output();
  const starting = runExec(ctx, entry, exec, { beforeOutput: streams => output.collect(streams) }, ctx.closing.signal);
  if (await endsWithin(settled(starting), startMs)) return { exec, output, ended: (await starting).ended };
  starting.then(
    () => endProbe(ctx, entry, exec),
    (err: unknown) => ctx.log.debug('a health check could not be started', { container: entry.id, error: err }),
  );
  throw conflict(`timed out starting health check for container ${entry.id}`);
}

const settled = (promise: Promise<unknown>): Promise<void> =>
  promise.then(
    () => undefined,
    () => undefined,
  );

const configOf = ({ command }: HealthCheck): ExecConfig => ({
  cmd: command,
  env: [],
  workingDir: '',
  user: '',
  privileged: false,
  tty: false,
  attachStdin: false,
  attachStdout: true,
  attachStderr: true,
  detachKeys: '',
  consoleSize: undefined,
});

/** With all it started: a shell that is killed would leave what it waits for. */
async function endProbe(ctx: Context, entry: Entry, exec: Exec): Promise<void> {
  try {
    await ctx.runtime.kill(entry.id, sigkill, { execId: exec.id, all: true });
  } catch (err) {
    if (kindOf(err) !== 'NotFound') ctx.log.warn('a health check could not be ended', { container: entry.id, error: err });
  }
}

/** The first bytes of what a probe says on both streams. */
class Output {
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;
  #isCut = false;
  #complete = Promise.resolve();

  collect(streams: ProcessStreams): void {
    this.#complete = streams.closed;
    streams.onOutput((_stream, chunk) => {
      const kept = chunk.slice(0, outputBytes - this.#bytes);
      this.#isCut ||= kept.length < chunk.length;
      this.#bytes += kept.length;
      if (kept.length > 0) this.#chunks.push(kept);
    });
  }

  async whole(): Promise<string> {
    await this.#complete;
    return this.soFar();
  }

  soFar(): string {
    return `${Buffer.concat(this.#chunks).toString()}${this.#isCut ? '...' : ''}`;
  }
}

import type { Client } from '#client/client.ts';
import { messageOf } from '#base/errors.ts';
import type { Query } from '#client/connection.ts';
import type { Cli } from '../cli.ts';
import { type BuildOutcome, ClassicStream } from './classic-stream.ts';
import type { BuildContext } from './context.ts';
import type { NeededPaths } from './needed-paths.ts';
import type { Outputs } from './outputs.ts';
import type { Display } from './status.ts';

export interface BuildRun {
  readonly client: Client;
  readonly context: BuildContext;
  readonly needed: NeededPaths | undefined;
  readonly query: Query;
  readonly outputs: Outputs;
  readonly registryConfig: string;
  readonly signal: AbortSignal;
}

const transfer = 'context';

/** Sends the context, has the daemon build, and shows how it goes. */
export async function runBuild(run: BuildRun, display: Display): Promise<BuildOutcome> {
  const { client, context, needed, query, registryConfig, signal } = run;
  const stream = new ClassicStream(update => display.update(update));
  const startedMs = Date.now();
  const vertex = { id: transfer, name: '[internal] load build context', startedMs };
  const status = { id: transfer, vertex: transfer, text: 'transferring context:', total: 0, startedMs };
  display.update({ vertexes: [vertex] });
  let sent = 0;
  let isSent = false;
  const finishTransfer = (): void => {
    if (isSent) return;
    isSent = true;
    const completedMs = Date.now();
    display.update({ statuses: [{ ...status, current: sent, completedMs }], vertexes: [{ ...vertex, completedMs }] });
  };
  try {
    const body = context.open(count => {
      sent += count;
      display.update({ statuses: [{ ...status, current: sent }] });
    }, needed);
    const messages = await client.builds.build({ query, context: body, registryConfig, signal });
    for await (const message of messages) {
      if ((message.stream ?? '') !== '' || message.error !== undefined) finishTransfer();
      stream.read(message);
    }
    stream.end();
    return stream.outcome(run.outputs);
  } catch (err) {
    display.update({ vertexes: [{ ...vertex, error: signal.aborted ? 'context canceled' : messageOf(err), completedMs: Date.now() }] });
    throw err;
  } finally {
    finishTransfer();
    display.finish();
  }
}

/** The same for people who want the classic builder's own words. */
export async function runClassicBuild(cli: Cli, run: BuildRun, isQuiet: boolean): Promise<BuildOutcome> {
  const { client, context, needed, query, registryConfig, signal } = run;
  const { humanSize } = await import('../output/units.ts');
  const { showProgress } = await import('../output/progress.ts');
  const stream = new ClassicStream(() => undefined);
  let sent = 0;
  const body = context.open(count => (sent += count), needed);
  const messages = await client.builds.build({ query, context: body, registryConfig, signal });
  if (!isQuiet) cli.out.line(`Sending build context to Docker daemon  ${humanSize(sent)}`);
  const seen = (async function* () {
    for await (const message of messages) {
      stream.read(message);
      if (stream.failure !== undefined) return;
      yield message;
    }
  })();
  await showProgress(seen, isQuiet ? undefined : cli.out);
  return stream.outcome(run.outputs);
}

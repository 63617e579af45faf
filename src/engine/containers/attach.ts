import type { ReadLogs } from '#core/logs.ts';
import type { Attachment, AttachOptions, ClientStream } from './attach-types.ts';
import { type Context, publish } from './context.ts';
import { parseDetachKeys } from './detach-keys.ts';
import type { Entry } from './entry.ts';
import { conflict, invalidArgument, kindOf } from '#base/errors.ts';
import { isPaused, isRunning } from './state.ts';
import { type JoinOptions, StreamHub } from './stream-hub.ts';

/** Checks that a client can attach. A container that does not run yet is fine: its output begins with its next start. */
export function attachToContainer(ctx: Context, ref: string, options: AttachOptions): Attachment {
  const entry = ctx.containers.find(ref);
  const { container } = entry;
  const detachKeys = parseDetachKeys(options.detachKeys);
  if (isPaused(container.state)) throw conflict(`container ${ref} is paused, unpause the container before attach`);
  if (container.state.status === 'restarting') throw conflict(`container ${ref} is restarting, wait until the container is running`);
  if (!options.stream && !options.logs) throw invalidArgument('attach to the stream or to the logs: both are switched off');
  const { tty } = container.config;
  return {
    tty,
    run: async client => {
      const end = attachNow(ctx, entry, options, detachKeys, client);
      publish(ctx, container, 'attach');
      const how = await end;
      if (how === 'detached') publish(ctx, container, 'detach');
      return how;
    },
  };
}

async function attachNow(ctx: Context, entry: Entry, options: AttachOptions, detachKeys: readonly number[], client: ClientStream) {
  const { config } = entry.container;
  if (!options.stream) {
    await replayLogs(ctx, entry, options, client);
    return 'ended' as const;
  }
  const hub = (entry.hub ??= new StreamHub(ctx.log));
  const wantsInput = options.stdin && config.openStdin;
  const join: JoinOptions = {
    stdout: options.stdout,
    stderr: options.stderr,
    tty: config.tty,
    closesStdin: config.stdinOnce,
    detachKeys,
    ...(options.logs ? { first: replay => replayLogs(ctx, entry, options, replay) } : {}),
  };
  const joined = hub.join(wantsInput ? client : { ...withoutInput(client) }, join);
  if (isRunning(entry.container.state) && !hub.isConnected) await connectHub(ctx, entry, hub);
  return await joined;
}

const withoutInput = (client: ClientStream): ClientStream => ({
  write: (stream, chunk) => client.write(stream, chunk),
  input: undefined,
  gone: client.gone,
});

/** Connects the first client of a container that runs already. One that has just ended has nothing more to say. */
async function connectHub(ctx: Context, entry: Entry, hub: StreamHub): Promise<void> {
  try {
    await hub.connectOnce(() => ctx.runtime.attach({ containerId: entry.id }));
  } catch (err) {
    if (kindOf(err) !== 'NotFound') throw err;
    await hub.end();
  }
}

async function replayLogs(ctx: Context, entry: Entry, options: AttachOptions, client: ClientStream): Promise<void> {
  const { id, hostConfig } = entry.container;
  const read: ReadLogs = { stdout: options.stdout, stderr: options.stderr, untilNano: BigInt(Date.now()) * 1_000_000n };
  for await (const batch of ctx.logs.read(id, hostConfig.logConfig, read, client.gone)) {
    for (const { stream, line } of batch) await client.write(stream, line);
  }
}

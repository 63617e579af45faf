import type { ContainerCreateRequest } from '#api/types/container.ts';
import type { Client } from '#client/client.ts';
import type { PendingWait } from '#client/containers.ts';
import type { HijackedStream } from '#client/hijack.ts';
import type { Cli } from '../../cli.ts';
import { defineCommand, minArgs } from '../../command.ts';
import { containerFlags } from '../../container-options/flags.ts';
import type { ContainerFlagValues } from '../../container-options/request.ts';
import { ExitError } from '../../errors.ts';
import { bool, text } from '../../flags/flag.ts';
import { buildRequest, createContainer, startError } from './create-container.ts';
import { exitCodeOf, terminalSize } from './outcome.ts';

const flags = {
  ...containerFlags,
  detach: bool("Leave it in the background and print the container's id", { short: 'd' }),
  'detach-keys': text('Keys that detach from the container'),
  'sig-proxy': bool('Pass signals on to the process', { default: true }),
};

type RunFlags = ContainerFlagValues & { readonly detach: boolean; readonly 'detach-keys': string; readonly 'sig-proxy': boolean };

export const command = defineCommand({
  usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
  names: ['container run', 'run'],
  short: 'Create a container from an image and run it',
  args: minArgs(1),
  flags,
  interspersed: false,
  async run(cli, parsed) {
    const client = await cli.client();
    const request = await buildRequest(cli, client, 'run', parsed);
    await adapt(cli, request, parsed.flags);
    return await runContainer(cli, client, request, parsed.flags);
  },
});

/** What running asks for beyond creating. */
async function adapt(cli: Cli, request: ContainerCreateRequest, given: RunFlags): Promise<void> {
  if (given.detach) {
    if (given.attach.length > 0) throw new ExitError(1, 'conflicting options: cannot specify both --attach and --detach');
    Object.assign(request, { AttachStdin: false, AttachStdout: false, AttachStderr: false, StdinOnce: false });
    return;
  }
  if (request.Tty !== true) return;
  const { isInputTerminal } = await import('../../streams/session.ts');
  if (request.AttachStdin === true && !isInputTerminal()) throw new ExitError(1, 'the input device is not a TTY');
  const size = terminalSize(cli);
  if (size !== undefined && request.HostConfig) request.HostConfig.ConsoleSize = [size.height, size.width];
}

// create -> attach and wait, both before start so that nothing of a short life is missed -> start -> resize -> output -> exit code
async function runContainer(cli: Cli, client: Client, request: ContainerCreateRequest, given: RunFlags): Promise<number> {
  let id: string;
  try {
    id = await createContainer(cli, client, request, given);
  } catch (err) {
    throw startError(cli, 'run', err);
  }
  if (given.detach) return await startDetached(cli, client, id);
  using _signals = given['sig-proxy']
    ? (await import('../../streams/signals.ts')).forwardSignals(signal => client.containers.kill(id, { killSignal: signal }))
    : undefined;
  const detachKeys = given['detach-keys'] === '' ? ((await cli.config()).values.detachKeys ?? '') : given['detach-keys'];
  const attached = request.AttachStdin === true || request.AttachStdout === true || request.AttachStderr === true;
  const [stream, wait] = await Promise.all([
    attached ? attach(client, id, request, detachKeys) : undefined,
    client.containers.wait(id, given.rm ? 'removed' : 'next-exit'),
  ]);
  const session = stream === undefined ? undefined : beginSession(cli, stream, request, detachKeys);
  // A failing start is the error to report, not what it does to the streams.
  session?.catch(() => undefined);
  try {
    await client.containers.start(id);
  } catch (err) {
    stream?.close();
    await session?.catch(() => undefined);
    if (given.rm) await wait.result.catch(() => undefined);
    throw startError(cli, 'run', err);
  }
  return await follow(cli, client, id, request, session, wait);
}

async function startDetached(cli: Cli, client: Client, id: string): Promise<number> {
  cli.out.line(id);
  try {
    await client.containers.start(id);
  } catch (err) {
    throw startError(cli, 'run', err);
  }
  return 0;
}

const attach = (client: Client, id: string, request: ContainerCreateRequest, detachKeys: string): Promise<HijackedStream> =>
  client.containers.attach(id, {
    stdin: request.AttachStdin === true && request.OpenStdin === true,
    stdout: request.AttachStdout === true,
    stderr: request.AttachStderr === true,
    detachKeys,
  });

async function beginSession(
  cli: Cli,
  stream: HijackedStream,
  request: ContainerCreateRequest,
  detachKeys: string,
): Promise<'ended' | 'detached'> {
  const [{ runSession }, { parseDetachKeys }] = await Promise.all([
    import('../../streams/session.ts'),
    import('../../streams/detach-keys.ts'),
  ]);
  return await runSession(cli, stream, {
    tty: request.Tty === true,
    stdin: request.AttachStdin === true && request.OpenStdin === true,
    stdout: request.AttachStdout === true,
    stderr: request.AttachStderr === true,
    detachKeys: parseDetachKeys(detachKeys),
  });
}

async function follow(
  cli: Cli,
  client: Client,
  id: string,
  request: ContainerCreateRequest,
  session: Promise<'ended' | 'detached'> | undefined,
  wait: PendingWait,
): Promise<number> {
  using _size =
    request.Tty === true && cli.out.isTerminal
      ? (await import('../../streams/signals.ts')).followTerminalSize(
          () => terminalSize(cli),
          size => client.containers.resize(id, size),
        )
      : undefined;
  if (session !== undefined && (await session) === 'detached') return 0;
  if (request.AttachStdout !== true && request.AttachStderr !== true) {
    cli.out.line(id);
    return 0;
  }
  return exitCodeOf(cli, await wait.result);
}

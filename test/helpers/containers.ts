import { afterAll, beforeAll } from 'bun:test';
import { type DaemonOptions, startDaemon, type TestDaemon } from './daemon.ts';
import { splitFrames } from './http.ts';

/** One daemon for all tests of a `describe`: started before the first, disposed and checked after the last. */
export function sharedDaemon(options: DaemonOptions = {}): () => TestDaemon {
  let daemon: TestDaemon | undefined;
  beforeAll(async () => {
    daemon = await startDaemon(options);
  }, 60_000);
  afterAll(async () => {
    await daemon?.[Symbol.asyncDispose]();
  }, 60_000);
  return () => {
    if (daemon === undefined) throw new Error('the daemon did not start');
    return daemon;
  };
}

/** The body of a create request, as far as tests use it. */
export interface ContainerBody {
  readonly Image?: string;
  readonly Cmd?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Env?: readonly string[];
  readonly Labels?: Readonly<Record<string, string>>;
  readonly Tty?: boolean;
  readonly OpenStdin?: boolean;
  readonly StdinOnce?: boolean;
  readonly AttachStdin?: boolean;
  readonly AttachStdout?: boolean;
  readonly AttachStderr?: boolean;
  readonly User?: string;
  readonly WorkingDir?: string;
  readonly Hostname?: string;
  readonly StopSignal?: string;
  readonly StopTimeout?: number;
  readonly Volumes?: Readonly<Record<string, object>>;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly Healthcheck?: object;
  readonly HostConfig?: Readonly<Record<string, unknown>>;
  readonly NetworkingConfig?: object;
}

/** `sh -c script` in busybox. */
export const sh = (script: string, more: Omit<ContainerBody, 'Cmd'> = {}): ContainerBody => ({ Cmd: ['sh', '-c', script], ...more });

/** Ends at once on SIGTERM: `sleep` as process 1 would ignore it. */
export const waiting = (more: Omit<ContainerBody, 'Cmd'> = {}): ContainerBody =>
  sh('trap "exit 0" TERM; while :; do sleep 100 & wait $!; done', more);

export async function create(daemon: TestDaemon, body: ContainerBody, name?: string): Promise<string> {
  const query = name === undefined ? '' : `?name=${name}`;
  const { Id } = await daemon.api.expect<{ Id: string }>('POST', `/containers/create${query}`, {
    body: { Image: 'busybox', ...body },
    status: 201,
  });
  return Id;
}

export async function start(daemon: TestDaemon, body: ContainerBody, name?: string): Promise<string> {
  const id = await create(daemon, body, name);
  await daemon.api.expect('POST', `/containers/${id}/start`, { status: 204 });
  return id;
}

export interface Finished {
  readonly id: string;
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a container to its end and removes it. */
export async function runToEnd(daemon: TestDaemon, body: ContainerBody): Promise<Finished> {
  const id = await start(daemon, body);
  const exitCode = await waitForExit(daemon, id);
  const finished = { id, exitCode, ...(await logsOf(daemon, id)) };
  await remove(daemon, id);
  return finished;
}

/** What a shell script in a container prints; its exit code must be 0. */
export async function outputOf(daemon: TestDaemon, script: string, more: Omit<ContainerBody, 'Cmd'> = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await runToEnd(daemon, sh(script, more));
  if (exitCode !== 0) throw new Error(`exit code ${String(exitCode)}: ${script}\n${stdout}${stderr}`);
  return stdout.trim();
}

export async function waitForExit(daemon: TestDaemon, id: string): Promise<number> {
  const { StatusCode } = await daemon.api.expect<{ StatusCode: number }>('POST', `/containers/${id}/wait`);
  return StatusCode;
}

export async function logsOf(daemon: TestDaemon, id: string, query = ''): Promise<{ stdout: string; stderr: string }> {
  const response = await daemon.api.open('GET', `/containers/${id}/logs?stdout=1&stderr=1${query}`);
  const data = new Uint8Array(await response.arrayBuffer());
  if (response.status !== 200) throw new Error(`logs answered ${String(response.status)}: ${Buffer.from(data).toString()}`);
  return splitFrames(data);
}

export async function remove(daemon: TestDaemon, id: string): Promise<void> {
  await daemon.api.expect('DELETE', `/containers/${id}?force=1&v=1`, { status: 204 });
}

/** What inspect says, as far as tests look at it. */
export interface Inspected {
  readonly Id: string;
  readonly Name: string;
  readonly Created: string;
  readonly Image: string;
  readonly Path: string;
  readonly Args: readonly string[];
  readonly RestartCount: number;
  readonly State: {
    readonly Status: string;
    readonly Running: boolean;
    readonly Paused: boolean;
    readonly OOMKilled: boolean;
    readonly Pid: number;
    readonly ExitCode: number;
    readonly Error: string;
    readonly StartedAt: string;
    readonly FinishedAt: string;
  };
  readonly Config: {
    readonly Hostname: string;
    readonly Env: readonly string[];
    readonly Cmd: readonly string[];
    readonly Image: string;
    readonly Labels: Readonly<Record<string, string>>;
    readonly Tty: boolean;
    readonly WorkingDir: string;
  };
  readonly HostConfig: Readonly<Record<string, unknown>>;
  readonly Mounts: readonly {
    readonly Type: string;
    readonly Name?: string;
    readonly Source: string;
    readonly Destination: string;
    readonly RW: boolean;
  }[];
  readonly NetworkSettings: {
    readonly Ports: Readonly<Record<string, readonly { readonly HostIp: string; readonly HostPort: string }[] | null>>;
    readonly Networks: Readonly<
      Record<
        string,
        {
          readonly IPAddress: string;
          readonly Gateway: string;
          readonly GlobalIPv6Address: string;
          readonly IPv6Gateway: string;
          readonly NetworkID: string;
          readonly EndpointID: string;
          readonly Aliases: readonly string[] | null;
        }
      >
    >;
  };
  readonly LogPath: string;
}

export const inspect = (daemon: TestDaemon, id: string): Promise<Inspected> =>
  daemon.api.expect<Inspected>('GET', `/containers/${id}/json`);

/** Runs a command in a running container and returns its output and exit code. */
export async function execIn(
  daemon: TestDaemon,
  id: string,
  cmd: readonly string[],
  more: Readonly<Record<string, unknown>> = {},
): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const { Id } = await daemon.api.expect<{ Id: string }>('POST', `/containers/${id}/exec`, {
    body: { Cmd: cmd, AttachStdout: true, AttachStderr: true, ...more },
    status: 201,
  });
  using connection = await daemon.api.hijack(`/exec/${Id}/start`, { Detach: false, Tty: more.Tty ?? false });
  await connection.closed;
  const { ExitCode } = await daemon.api.expect<{ ExitCode: number }>('GET', `/exec/${Id}/json`);
  return { exitCode: ExitCode, ...(more.Tty === true ? { stdout: connection.raw().toString(), stderr: '' } : connection.streams()) };
}

import { randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import type { JsonMessage } from '#api/types/image.ts';
import { clientHandlers } from '#client/buildkit/services.ts';
import { openSession } from '#client/buildkit/session.ts';
import { readTrace, type Trace } from '#client/buildkit/trace.ts';
import type { Cli } from '../cli.ts';
import { getCredentials } from '../config/credentials.ts';
import { hubKey } from '../config/registry-auth.ts';
import type { BuildOutcome, FailedStep } from './classic-stream.ts';
import { type SyncDirectory, syncSource } from './context-sync.ts';
import type { BuildRun } from './run-build.ts';
import { readSecret, type SecretSource } from './secrets.ts';
import type { Display, StatusUpdate } from './status.ts';

export interface BuildKitOptions {
  readonly secrets: ReadonlyMap<string, SecretSource>;
  readonly agents: ReadonlyMap<string, string>;
}

/** Whether a context can be offered file by file: one that arrives as an archive cannot. */
export const canSync = ({ context }: Pick<BuildRun, 'context'>): boolean => context.dockerfile !== undefined;

/**
 * Builds with the daemon's BuildKit: it asks for the files it needs and does not have, for secrets and for credentials, over a second connection.
 */
export async function runBuildKit(cli: Cli, run: BuildRun, display: Display, { secrets, agents }: BuildKitOptions): Promise<BuildOutcome> {
  const { client, context, query, registryConfig, signal } = run;
  const id = randomBytes(16).toString('hex');
  const handlers = clientHandlers({
    files: syncSource(directoriesOf(context)),
    onFileBytes: () => undefined,
    secret: async secretId => readSecret(secrets.get(secretId)),
    agentSocket: name => agents.get(name),
    credentials: async host => {
      const auth = await getCredentials(cli, host === 'registry-1.docker.io' ? hubKey : host);
      const token = auth.identitytoken ?? '';
      return token === '' ? { username: auth.username ?? '', secret: auth.password ?? '' } : { username: '', secret: token };
    },
  });
  const name = basename(context.root ?? 'stdin') || 'context';
  using _session = await openSession(client.connection, {
    id,
    name: name.replace(/[^\x20-\x7e]/g, '_'),
    sharedKey: sharedKeyOf(context.root),
    handlers,
  });
  const reader = new TraceReader(display);
  try {
    const messages = await client.builds.build({
      query: { ...query, ...buildKitQuery(context, id) },
      context: new Blob([]),
      registryConfig,
      signal,
    });
    for await (const message of messages) reader.read(message);
    return reader;
  } catch (err) {
    // Closing the connection may not be enough: the daemon is told as well.
    if (signal.aborted) await client.builds.cancel(id).catch(() => undefined);
    throw err;
  } finally {
    display.finish();
  }
}

const buildKitQuery = ({ dockerfileName }: BuildRun['context'], session: string) => ({
  version: '2',
  buildid: session,
  session,
  remote: 'client-session',
  dockerfile: basename(dockerfileName ?? 'Dockerfile'),
});

/** The context, and the directory that the Dockerfile is in. */
function directoriesOf({
  root,
  dockerfileName = 'Dockerfile',
  dockerfile,
  isDockerfileInside,
}: BuildRun['context']): Record<string, SyncDirectory> {
  const text = new TextEncoder().encode(dockerfile?.text ?? '');
  const alone: SyncDirectory = { kind: 'memory', files: new Map([[basename(dockerfileName), text]]) };
  return {
    context: root === undefined ? { kind: 'memory', files: new Map() } : { kind: 'disk', root },
    dockerfile: root === undefined || !isDockerfileInside ? alone : { kind: 'disk', root: join(root, dirname(dockerfileName)) },
  };
}

/** The same for builds of the same directory, so that the daemon needs only what has changed. */
function sharedKeyOf(root: string | undefined): string {
  const key = root ?? randomBytes(16).toString('hex');
  return new Bun.CryptoHasher('sha256').update(`${process.env.HOSTNAME ?? ''}:${key}`).digest('hex');
}

const keptLines = 10;

/** Makes updates of what BuildKit says, and keeps what is needed when it fails. */
class TraceReader implements BuildOutcome {
  readonly #display: Display;
  readonly #steps = new Map<string, { name: string; lines: string[] }>();
  #failed: string | undefined;
  imageId: string | undefined;
  failure: BuildOutcome['failure'];

  constructor(display: Display) {
    this.#display = display;
  }

  read(message: JsonMessage): void {
    if (message.errorDetail !== undefined || (message.error ?? '') !== '') {
      const text = message.errorDetail?.message ?? message.error ?? '';
      this.failure = { message: text, exitCode: message.errorDetail?.code ?? 0, step: this.#failedStep() };
    } else if (message.id === 'moby.buildkit.trace' && typeof message.aux === 'string')
      this.#trace(readTrace(Buffer.from(message.aux, 'base64')));
    else if (typeof message.aux === 'object' && message.aux !== null && 'ID' in message.aux && typeof message.aux.ID === 'string') {
      this.imageId = message.aux.ID;
    }
  }

  #failedStep(): FailedStep | undefined {
    const step = this.#failed === undefined ? undefined : this.#steps.get(this.#failed);
    return step === undefined ? undefined : { name: step.name, code: step.name.replace(/^\[[^\]]*\] /, ''), lines: step.lines };
  }

  #trace({ vertexes, statuses, logs, warnings }: Trace): void {
    for (const { id, name, error } of vertexes) {
      if (!this.#steps.has(id)) this.#steps.set(id, { name, lines: [] });
      if (error !== '' && !error.endsWith('context canceled')) this.#failed = id;
    }
    for (const { vertex, data } of logs) {
      const step = this.#steps.get(vertex);
      const lines = new TextDecoder()
        .decode(data)
        .split('\n')
        .filter(line => line !== '');
      if (step !== undefined) step.lines = [...step.lines, ...lines].slice(-keptLines);
    }
    this.#display.update(toUpdate({ vertexes, statuses, logs, warnings }));
  }
}

function toUpdate({ vertexes, statuses, logs, warnings }: Trace): StatusUpdate {
  return {
    vertexes: vertexes.map(({ id, name, isCached, startedMs, completedMs, error }) => ({
      id,
      name,
      ...(isCached && { isCached }),
      ...(startedMs !== undefined && { startedMs }),
      ...(completedMs !== undefined && { completedMs }),
      ...(error !== '' && { error }),
    })),
    statuses: statuses.map(({ id, vertex, name, current, total, startedMs, completedMs }) => ({
      id,
      vertex,
      text: name === '' ? id : name,
      current,
      total,
      startedMs: startedMs ?? Date.now(),
      ...(completedMs !== undefined && { completedMs }),
    })),
    logs: logs.map(({ vertex, timeMs, stream, data }) => ({ vertex, timeMs, stream: stream === 2 ? 2 : 1, data })),
    ...(warnings.length > 0 && { warnings }),
  };
}

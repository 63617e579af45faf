import type {
  Checkpoint,
  CheckpointCreateRequest,
  ContainerCreateRequest,
  ContainerCreateResponse,
  ContainerInspect,
  ContainerPathStat,
  ContainerPruneResponse,
  ContainerSummary,
  ContainerTopResponse,
  ContainerUpdateRequest,
  ContainerUpdateResponse,
  ContainerWaitResponse,
  FilesystemChange,
} from '#api/types/container.ts';
import { isBefore } from '#api/versions.ts';
import { type Connection, parseVersion } from './connection.ts';
import { encodeFilters, type Filters } from './filters.ts';
import type { HijackedStream } from './hijack.ts';
import { readJsonLines } from './json-stream.ts';

interface Signalled {
  readonly signal?: AbortSignal | undefined;
}

export interface ListContainersOptions extends Signalled {
  readonly all?: boolean;
  readonly limit?: number;
  readonly size?: boolean;
  readonly filters?: Filters;
}

export interface AttachOptions extends Signalled {
  readonly stdin?: boolean;
  readonly stdout?: boolean;
  readonly stderr?: boolean;
  readonly logs?: boolean;
  readonly detachKeys?: string | undefined;
}

export interface LogsOptions extends Signalled {
  readonly follow?: boolean;
  readonly stdout?: boolean;
  readonly stderr?: boolean;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  readonly timestamps?: boolean;
  readonly tail?: string | undefined;
  readonly details?: boolean;
}

export type WaitCondition = 'not-running' | 'next-exit' | 'removed';

/** A wait that the daemon has taken note of. */
export interface PendingWait {
  readonly result: Promise<ContainerWaitResponse>;
}

const at = (id: string, rest = ''): string => `/containers/${encodeURIComponent(id)}${rest}`;

export class Containers {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async list({ all, limit, size, filters, signal }: ListContainersOptions = {}): Promise<ContainerSummary[]> {
    return await this.#connection.json('GET', '/containers/json', {
      query: {
        all: all === true ? true : undefined,
        limit: limit !== undefined && limit > 0 ? limit : undefined,
        size: size === true ? true : undefined,
        filters: encodeFilters(filters),
      },
      signal,
    });
  }

  async create(
    request: ContainerCreateRequest,
    { name, platform, signal }: { name?: string | undefined; platform?: string | undefined } & Signalled = {},
  ): Promise<ContainerCreateResponse> {
    const json = forVersion(request, await this.#connection.apiVersion(signal));
    return await this.#connection.json('POST', '/containers/create', { query: { name, platform }, json, signal });
  }

  async inspect(id: string, { size, signal }: { size?: boolean } & Signalled = {}): Promise<ContainerInspect> {
    return await this.#connection.json('GET', at(id, '/json'), { query: { size: size === true ? true : undefined }, signal });
  }

  async start(
    id: string,
    {
      checkpoint,
      checkpointDir,
      detachKeys,
      signal,
    }: { checkpoint?: string | undefined; checkpointDir?: string | undefined; detachKeys?: string } & Signalled = {},
  ): Promise<void> {
    await this.#connection.run('POST', at(id, '/start'), { query: { checkpoint, 'checkpoint-dir': checkpointDir, detachKeys }, signal });
  }

  async stop(
    id: string,
    { timeoutS, stopSignal, signal }: { timeoutS?: number | undefined; stopSignal?: string | undefined } & Signalled = {},
  ): Promise<void> {
    await this.#connection.run('POST', at(id, '/stop'), { query: { t: timeoutS, signal: stopSignal }, signal });
  }

  async restart(
    id: string,
    { timeoutS, stopSignal, signal }: { timeoutS?: number | undefined; stopSignal?: string | undefined } & Signalled = {},
  ): Promise<void> {
    await this.#connection.run('POST', at(id, '/restart'), { query: { t: timeoutS, signal: stopSignal }, signal });
  }

  async kill(id: string, { killSignal, signal }: { killSignal?: string | undefined } & Signalled = {}): Promise<void> {
    await this.#connection.run('POST', at(id, '/kill'), { query: { signal: killSignal }, signal });
  }

  async checkpoints(id: string, { directory, signal }: { directory?: string } & Signalled = {}): Promise<readonly Checkpoint[]> {
    const query = { dir: directory === '' ? undefined : directory };
    return (await this.#connection.json<readonly Checkpoint[] | null>('GET', at(id, '/checkpoints'), { query, signal })) ?? [];
  }

  async createCheckpoint(id: string, request: CheckpointCreateRequest, { signal }: Signalled = {}): Promise<void> {
    await this.#connection.run('POST', at(id, '/checkpoints'), { json: request, signal });
  }

  async removeCheckpoint(id: string, name: string, { directory, signal }: { directory?: string } & Signalled = {}): Promise<void> {
    const query = { dir: directory === '' ? undefined : directory };
    await this.#connection.run('DELETE', at(id, `/checkpoints/${encodeURIComponent(name)}`), { query, signal });
  }

  async pause(id: string, { signal }: Signalled = {}): Promise<void> {
    await this.#connection.run('POST', at(id, '/pause'), { signal });
  }

  async unpause(id: string, { signal }: Signalled = {}): Promise<void> {
    await this.#connection.run('POST', at(id, '/unpause'), { signal });
  }

  async rename(id: string, name: string, { signal }: Signalled = {}): Promise<void> {
    await this.#connection.run('POST', at(id, '/rename'), { query: { name }, signal });
  }

  async remove(
    id: string,
    { force, volumes, link, signal }: { force?: boolean; volumes?: boolean; link?: boolean } & Signalled = {},
  ): Promise<void> {
    const query = {
      force: force === true ? true : undefined,
      v: volumes === true ? true : undefined,
      link: link === true ? true : undefined,
    };
    await this.#connection.run('DELETE', at(id), { query, signal });
  }

  async update(id: string, request: ContainerUpdateRequest, { signal }: Signalled = {}): Promise<ContainerUpdateResponse> {
    return await this.#connection.json('POST', at(id, '/update'), { json: request, signal });
  }

  async top(id: string, psArgs: string | undefined, { signal }: Signalled = {}): Promise<ContainerTopResponse> {
    return await this.#connection.json('GET', at(id, '/top'), { query: { ps_args: psArgs }, signal });
  }

  async changes(id: string, { signal }: Signalled = {}): Promise<FilesystemChange[] | null> {
    return await this.#connection.json('GET', at(id, '/changes'), { signal });
  }

  async prune(filters: Filters, { signal }: Signalled = {}): Promise<ContainerPruneResponse> {
    return await this.#connection.json('POST', '/containers/prune', { query: { filters: encodeFilters(filters) }, signal });
  }

  /** Resolves when the daemon has taken note, so that an exit right afterwards is not missed. */
  async wait(id: string, condition: WaitCondition, { signal }: Signalled = {}): Promise<PendingWait> {
    const response = await this.#connection.send('POST', at(id, '/wait'), { query: { condition }, signal });
    const result = response.json() as Promise<ContainerWaitResponse>;
    // Whoever asks for the result gets the rejection; nobody may ask.
    result.catch(() => undefined);
    return { result };
  }

  async resize(id: string, size: { height: number; width: number }, { signal }: Signalled = {}): Promise<void> {
    await this.#connection.run('POST', at(id, '/resize'), { query: { h: size.height, w: size.width }, signal });
  }

  async attach(id: string, { stdin, stdout, stderr, logs, detachKeys, signal }: AttachOptions): Promise<HijackedStream> {
    const on = (value: boolean | undefined): true | undefined => (value === true ? true : undefined);
    const query = {
      stream: true,
      stdin: on(stdin),
      stdout: on(stdout),
      stderr: on(stderr),
      logs: on(logs),
      detachKeys: detachKeys === '' ? undefined : detachKeys,
    };
    return await this.#connection.hijack(at(id, '/attach'), { query, headers: { 'Content-Type': 'text/plain' }, signal });
  }

  /** The raw log stream: framed unless the container has a terminal. */
  async logs(id: string, options: LogsOptions): Promise<ReadableStream<Uint8Array>> {
    const on = (value: boolean | undefined): true | undefined => (value === true ? true : undefined);
    const response = await this.#connection.send('GET', at(id, '/logs'), {
      query: {
        stdout: on(options.stdout),
        stderr: on(options.stderr),
        since: options.since,
        until: options.until,
        timestamps: on(options.timestamps),
        details: on(options.details),
        follow: on(options.follow),
        tail: options.tail,
      },
      signal: options.signal,
    });
    return bodyOf(response);
  }

  async stats<T>(id: string, { stream, oneShot, signal }: { stream: boolean; oneShot?: boolean } & Signalled): Promise<AsyncGenerator<T>> {
    const response = await this.#connection.send('GET', at(id, '/stats'), {
      query: { stream, 'one-shot': oneShot === true ? true : undefined },
      signal,
    });
    return readJsonLines<T>(response.body);
  }

  async exportTar(id: string, { signal }: Signalled = {}): Promise<ReadableStream<Uint8Array>> {
    return bodyOf(await this.#connection.send('GET', at(id, '/export'), { signal }));
  }

  async statPath(id: string, path: string, { signal }: Signalled = {}): Promise<ContainerPathStat> {
    const response = await this.#connection.send('HEAD', at(id, '/archive'), { query: { path }, signal });
    return pathStat(response);
  }

  async readArchive(
    id: string,
    path: string,
    { signal }: Signalled = {},
  ): Promise<{ stat: ContainerPathStat; tar: ReadableStream<Uint8Array> }> {
    const response = await this.#connection.send('GET', at(id, '/archive'), { query: { path }, signal });
    return { stat: pathStat(response), tar: bodyOf(response) };
  }

  async writeArchive(
    id: string,
    path: string,
    tar: ReadableStream<Uint8Array>,
    { copyOwner, signal }: { copyOwner?: boolean } & Signalled = {},
  ): Promise<void> {
    await this.#connection.run('PUT', at(id, '/archive'), {
      query: { path, noOverwriteDirNonDir: true, copyUIDGID: copyOwner === true ? true : undefined },
      headers: { 'Content-Type': 'application/x-tar' },
      body: tar,
      signal,
    });
  }

  async commit(
    query: Readonly<Record<string, string | boolean | readonly string[] | undefined>>,
    { signal }: Signalled = {},
  ): Promise<{ Id: string }> {
    return await this.#connection.json('POST', '/commit', { query, signal });
  }
}

function pathStat(response: Response): ContainerPathStat {
  return JSON.parse(Buffer.from(response.headers.get('x-docker-container-path-stat') ?? '', 'base64').toString()) as ContainerPathStat;
}

export const bodyOf = (response: Response): ReadableStream<Uint8Array> => response.body ?? new Blob([]).stream();

/** The request as daemons of this version expect it: the MAC address belongs to a network since 1.44, to the container before. */
function forVersion(request: ContainerCreateRequest, version: string): ContainerCreateRequest {
  const { MacAddress, HostConfig, ...rest } = request;
  const before144 = isBefore(parseVersion(version), '1.44');
  return {
    ...rest,
    ...(before144 && MacAddress !== undefined ? { MacAddress } : {}),
    ...(HostConfig === undefined || HostConfig === null
      ? {}
      : { HostConfig: { ...HostConfig, CapAdd: inFull(HostConfig.CapAdd), CapDrop: inFull(HostConfig.CapDrop) } }),
  };
}

/** Capabilities by their names in full, each once, so that equal sets are equal requests. */
function inFull(capabilities: readonly string[] | null | undefined): string[] | null {
  if (capabilities === null || capabilities === undefined) return null;
  const names = capabilities.map(name => {
    const upper = name.trim().toUpperCase();
    return upper === 'ALL' || upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  });
  return [...new Set(names)].toSorted();
}

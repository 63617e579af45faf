import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ContainerBody, execIn, logsOf } from '#test/helpers/containers.ts';
import type { TestDaemon } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { openFds } from '#test/helpers/machine.ts';

export interface SoakOptions {
  readonly containers: number;
  /** How many clients work side by side, each with one container after the other. */
  readonly clients: number;
  /** The daemon lives so long, at least and at most, before it is killed. */
  readonly lifeMs: readonly [shortest: number, longest: number];
  /** Chooses the moments of the kills. */
  readonly seed: number;
  /** It has failed when it is not done by then. */
  readonly limitMs: number;
  readonly onProgress?: (done: number, kills: number) => void;
}

export interface SoakReport {
  readonly containers: number;
  readonly execs: number;
  readonly kills: number;
  /** Requests that a dying daemon left without an answer. */
  readonly lostAnswers: number;
  /** What the daemon says it has repaired at its starts. */
  readonly repairs: number;
  readonly seconds: number;
  /** From a kill until the next daemon answers, the median and the longest. */
  readonly recoveryMs: { readonly median: number; readonly longest: number };
  /** Of the last daemon, which nobody killed, before and after its share of the work. */
  readonly megabytes: readonly [before: number, after: number];
  readonly descriptors: readonly [before: number, after: number];
  /** The database and its log, in the end. */
  readonly databaseBytes: number;
}

/** So much of the work is done while the daemon is killed again and again; the rest by one daemon, whose memory is looked at. */
const killedShare = 0.7;

/**
 * Containers of every kind are created, started, asked, ended and removed by parallel clients while the daemon is killed at random. Whatever was
 * answered must hold: rejects as soon as something that was acknowledged is not so, or what a container said or ended with is lost.
 */
export async function soak(daemon: TestDaemon, options: SoakOptions): Promise<SoakReport> {
  const began = performance.now();
  const mortal = new MortalDaemon(daemon, began + options.limitMs);
  await mortal.ask(() => daemon.api.expect('POST', '/networks/create', { body: { Name: 'soak' } }), [409]);
  const kills = Math.round(options.containers * killedShare);
  const killing = new AbortController();
  const killer = mortal.killAgainAndAgain(options.lifeMs, randomFrom(options.seed), killing.signal);
  const progress = (done: number): void => options.onProgress?.(done, mortal.kills);
  try {
    await inParallel(options.clients, range(0, kills), index => live(mortal, index), progress);
  } finally {
    killing.abort();
    await killer;
  }
  const restful = range(kills, options.containers);
  // What is made once, by the first of each kind, is no leak.
  const warmUp = restful.splice(0, Math.min(restful.length, options.clients * kinds.length));
  await inParallel(options.clients, warmUp, index => live(mortal, index), progress);
  const before = { megabytes: megabytes(daemon), descriptors: openFds(daemon.pid).length };
  await inParallel(options.clients, restful, index => live(mortal, index), progress);
  await daemon.api.expect('DELETE', '/networks/soak', { status: 204 });
  const after = await settledFigures(daemon, before);
  return {
    containers: options.containers,
    execs: mortal.execs,
    kills: mortal.kills,
    lostAnswers: mortal.lostAnswers,
    repairs: repairsOf(daemon),
    seconds: Math.round((performance.now() - began) / 1000),
    recoveryMs: mortal.recoveryMs(),
    megabytes: [before.megabytes, after.megabytes],
    descriptors: [before.descriptors, after.descriptors],
    databaseBytes: ['berth.db', 'berth.db-wal'].reduce((sum, name) => sum + Bun.file(join(daemon.dataRoot, name)).size, 0),
  };
}

/** A daemon that may be gone at any moment, and clients that ask again. */
class MortalDaemon {
  readonly daemon: TestDaemon;
  readonly #deadline: number;
  readonly #recoveries: number[] = [];
  /** Resolves when the daemon answers again; undefined while it lives. */
  #dead: Promise<void> | undefined;
  kills = 0;
  lostAnswers = 0;
  execs = 0;

  constructor(daemon: TestDaemon, deadline: number) {
    this.daemon = daemon;
    this.#deadline = deadline;
  }

  /** Asks until an answer comes. What the daemon had done before it died may be told by one of these statuses when it is asked again. */
  async ask<T>(request: () => Promise<T>, fineWhenAsked: readonly number[] = []): Promise<T | undefined> {
    for (let attempt = 1; ; attempt += 1) {
      if (performance.now() > this.#deadline) throw new Error('the time is up');
      await this.#dead;
      const { kills } = this;
      try {
        return await request();
      } catch (err) {
        const status = Number(/ answered (\d+)/.exec(String(err))?.[1]);
        if (attempt > 1 && fineWhenAsked.includes(status)) return undefined;
        // An answer is an answer, also of a daemon that died right after it.
        if (this.kills === kills) throw err;
        this.lostAnswers += 1;
      }
    }
  }

  async killAgainAndAgain([shortest, longest]: readonly [number, number], random: () => number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await Bun.sleep(shortest + random() * (longest - shortest));
      if (signal.aborted) return;
      this.#dead = this.#killOnce();
      await this.#dead;
      this.#dead = undefined;
    }
  }

  async #killOnce(): Promise<void> {
    this.kills += 1;
    const began = performance.now();
    await this.daemon.kill();
    await this.daemon.start();
    this.#recoveries.push(performance.now() - began);
  }

  recoveryMs(): SoakReport['recoveryMs'] {
    const sorted = this.#recoveries.toSorted((a, b) => a - b).map(Math.round);
    return { median: sorted[Math.floor(sorted.length / 2)] ?? 0, longest: sorted.at(-1) ?? 0 };
  }
}

interface Kind {
  /** The script ends by itself with this code; undefined: it is killed. */
  readonly exitCode: number | undefined;
  readonly body: Omit<ContainerBody, 'Cmd'>;
}

const kinds: readonly Kind[] = [
  { exitCode: undefined, body: {} },
  { exitCode: 7, body: {} },
  { exitCode: 0, body: { HostConfig: { AutoRemove: true } } },
  {
    exitCode: undefined,
    body: { Healthcheck: { Test: ['CMD', 'true'], Interval: 100_000_000 }, HostConfig: { RestartPolicy: { Name: 'unless-stopped' } } },
  },
  {
    exitCode: undefined,
    body: { ExposedPorts: { '80/tcp': {} }, HostConfig: { NetworkMode: 'soak', PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1' }] } } },
  },
  { exitCode: undefined, body: { Volumes: { '/data': {} } } },
  { exitCode: 3, body: { HostConfig: { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 1 } } } },
];

interface State {
  readonly State: { readonly Status: string; readonly Running: boolean; readonly ExitCode: number };
}

/** One container, from create to remove. */
async function live(mortal: MortalDaemon, index: number): Promise<void> {
  const { daemon } = mortal;
  const { api } = daemon;
  const kind = kinds[index % kinds.length] as Kind;
  const name = `soak-${String(index)}`;
  const removesItself = kind.body.HostConfig?.AutoRemove === true;
  const end = kind.exitCode === undefined ? 'while :; do sleep 1; done' : `sleep 0.1; exit ${String(kind.exitCode)}`;
  const body = { Image: 'busybox', Cmd: ['sh', '-c', `echo "I am ${name}"; touch /said; ${end}`], ...kind.body };
  await mortal.ask(() => api.expect('POST', `/containers/create?name=${name}`, { body }), [409]);
  // 304: it runs. 404: one that removes itself has started and gone.
  await mortal.ask(() => api.expect('POST', `/containers/${name}/start`), [304, 404]);
  if (removesItself) {
    await untilGone(mortal, name);
    return;
  }
  if (kind.exitCode === undefined) {
    await isWell(mortal, name, index);
    await mortal.ask(() => api.expect('POST', `/containers/${name}/${index % 2 === 0 ? 'kill' : 'stop?t=0'}`), [304, 409]);
  }
  await endsWith(mortal, name, kind.exitCode ?? 137);
  const { stdout } = (await mortal.ask(() => logsOf(daemon, name))) ?? { stdout: '' };
  const runs = stdout.split('\n').length - 1;
  if (stdout !== `I am ${name}\n`.repeat(runs) || runs < 1) throw new Error(`${name} said ${JSON.stringify(stdout)}`);
  await mortal.ask(() => api.expect('DELETE', `/containers/${name}?v=1`), [404]);
  await untilGone(mortal, name);
}

/** It runs and has said its word, and a command in it is answered; every third time it was paused in between. */
async function isWell(mortal: MortalDaemon, name: string, index: number): Promise<void> {
  const { daemon } = mortal;
  const { api } = daemon;
  if (index % 3 === 0) {
    await mortal.ask(() => api.expect('POST', `/containers/${name}/pause`), [409]);
    await mortal.ask(() => api.expect('POST', `/containers/${name}/unpause`), [409]);
  }
  const answer = await mortal.ask(() =>
    execIn(daemon, name, ['sh', '-c', `until [ -e /said ]; do sleep 0.01; done; echo ${String(index)}; exit 5`]),
  );
  if (answer?.exitCode !== 5 || answer.stdout !== `${String(index)}\n`) throw new Error(`a command in ${name}: ${JSON.stringify(answer)}`);
  mortal.execs += 1;
}

async function endsWith(mortal: MortalDaemon, name: string, exitCode: number): Promise<void> {
  const ended = await eventually(
    `${name} has ended`,
    async () => {
      const seen = await mortal.ask(() => mortal.daemon.api.expect<State>('GET', `/containers/${name}/json`));
      return seen?.State.Status === 'exited' ? seen.State : undefined;
    },
    { timeoutMs: 60_000 },
  );
  if (ended.ExitCode !== exitCode) throw new Error(`${name} ended with ${String(ended.ExitCode)}, not ${String(exitCode)}`);
}

const untilGone = (mortal: MortalDaemon, name: string): Promise<true> =>
  eventually(`${name} has gone`, async () => (await mortal.ask(() => mortal.daemon.api.get(`/containers/${name}/json`)))?.status === 404, {
    timeoutMs: 60_000,
  });

async function inParallel(
  clients: number,
  indices: readonly number[],
  work: (index: number) => Promise<void>,
  onProgress: (done: number) => void,
): Promise<void> {
  const queue = [...indices];
  let done = indices[0] ?? 0;
  const client = async (): Promise<void> => {
    for (let index = queue.shift(); index !== undefined; index = queue.shift()) {
      await work(index).catch((err: unknown) => {
        queue.length = 0;
        throw err;
      });
      done += 1;
      onProgress(done);
    }
  };
  const results = await Promise.allSettled(Array.from({ length: clients }, client));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

const range = (from: number, to: number): number[] => Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i);

/** A small generator of numbers from 0 to 1 (xorshift32): a failed soak can be run again with the same moments. */
function randomFrom(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 0x1_0000_0000;
  };
}

function megabytes(daemon: TestDaemon): number {
  const kib = /^Pss_Anon:\s+(\d+)/m.exec(readFileSync(`/proc/${String(daemon.pid)}/smaps_rollup`, 'utf8'))?.[1];
  return Math.round(Number(kib) / 1024);
}

/** Garbage goes, and descriptors are closed, when the daemon is idle. */
async function settledFigures(daemon: TestDaemon, before: { readonly megabytes: number; readonly descriptors: number }) {
  const now = () => ({ megabytes: megabytes(daemon), descriptors: openFds(daemon.pid).length });
  let last = now();
  await eventually(
    'it is as it was',
    () => {
      last = now();
      return last.megabytes <= before.megabytes && last.descriptors <= before.descriptors;
    },
    { timeoutMs: 15_000, everyMs: 500 },
  ).catch(() => undefined);
  return last;
}

const repairsOf = (daemon: TestDaemon): number => readFileSync(daemon.logPath, 'utf8').split(' msg=repaired ').length - 1;

/** What the folders hold that belongs to nothing: call it when every container has been removed. */
export async function remains(daemon: TestDaemon): Promise<string[]> {
  const folders = ['data/containers', 'data/volumes', 'data/tmp', 'run/containers', 'run/runtime/crun', 'run/runtime/runc', 'run/netns'];
  const found = (): string[] => folders.flatMap(folder => entries(join(daemon.folder, folder)));
  // What was removed is deleted in the background.
  await eventually('nothing remains', () => found().length === 0).catch(() => undefined);
  return found();
}

const entries = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder).map(name => join(folder, name)) : []);

import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { baseImage } from '../../scripts/base-images.ts';
import { dockerCommand } from './docker-cli.ts';
import { eventually } from './eventually.ts';
import { ApiClient } from './http.ts';
import { compareMachines, type MachineState, machineState, mountsBelow, processesNaming } from './machine.ts';
import { berthCommand, projectRoot } from './paths.ts';
import { run, type RunOptions, type RunResult, runOk } from './run.ts';

export interface DaemonOptions {
  /** More flags of `berth daemon`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Load the busybox image as soon as it listens. Default: true. */
  readonly busybox?: boolean;
  /** A process whose network and mount namespaces the daemon shall live in. */
  readonly besideProcess?: number;
  /** False: others come and go beside it, so the machine is not compared before and after. Default: true where nothing else starts containers. */
  readonly comparesMachine?: boolean;
  /** Folder below its roots where a daemon with user namespaces keeps everything. */
  readonly remappedRoot?: string;
  /** Keep what belongs to this boot below /run, as a daemon does unless told otherwise: for measurements, in mount namespaces with a /run of their own. */
  readonly execRootInRun?: boolean;
  /** False: the daemon's own settings say which addresses its default bridge has. Default: some that no other test has. */
  readonly choosesBip?: boolean;
  /** Folder of the data root; default: in the daemon's own temporary folder. */
  readonly dataRoot?: string;
}

/**
 * A Docker-compatible daemon that runs already, as `unix:///path`: tests that do not look behind the API can be tried against Docker itself.
 * BERTH_TEST_API names its API version, such as v1.41.
 */
const foreignHost = process.env.BERTH_TEST_HOST;

/** Starts a daemon with roots and a socket of its own. Dispose it to remove its containers, stop it and check that nothing is left. */
export async function startDaemon(options: DaemonOptions = {}): Promise<TestDaemon> {
  // Sockets allow paths of 107 bytes: a short folder leaves room for the names below it.
  const folder = await mkdtemp('/tmp/berth-t-');
  // Root of a user namespace has to come through.
  await chmod(folder, 0o711);
  const before = aloneOnMachine() && options.comparesMachine !== false ? await machineState() : undefined;
  const daemon = new TestDaemon(folder, options, before);
  try {
    await daemon.start();
    if (options.busybox ?? true) await daemon.load(await baseImage('busybox'));
  } catch (err) {
    await daemon[Symbol.asyncDispose]().catch(() => undefined);
    throw err;
  }
  return daemon;
}

/** Set by scripts/test.ts, where nothing else starts containers: then the whole machine can be compared after each daemon. */
const aloneOnMachine = (): boolean => process.env.BERTH_TEST_ALONE === '1';

export class TestDaemon implements AsyncDisposable {
  readonly folder: string;
  readonly dataRoot: string;
  readonly execRoot: string;
  readonly socketPath: string;
  readonly api: ApiClient;
  readonly #options: DaemonOptions;
  readonly #before: MachineState | undefined;
  readonly #bip = `10.${String(128 + Math.floor(Math.random() * 120))}.${String(Math.floor(Math.random() * 256))}.1/24`;
  #child: Bun.Subprocess | undefined;

  constructor(folder: string, options: DaemonOptions, before: MachineState | undefined) {
    this.folder = folder;
    this.dataRoot = options.dataRoot ?? join(folder, 'data');
    this.execRoot = options.execRootInRun === true ? `/run${folder}` : join(folder, 'run');
    this.socketPath = foreignHost?.replace('unix://', '') ?? join(folder, 'berth.sock');
    this.api = new ApiClient(this.socketPath, process.env.BERTH_TEST_API);
    this.#options = options;
    this.#before = before;
  }

  get host(): string {
    return `unix://${this.socketPath}`;
  }

  get logPath(): string {
    return join(this.folder, 'daemon.log');
  }

  get pid(): number {
    if (this.#child === undefined) throw new Error('the daemon does not run');
    return this.#child.pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts it again on the same roots; waits until it answers. */
  async start(env: Readonly<Record<string, string>> = {}): Promise<void> {
    if (foreignHost !== undefined) return;
    this.spawn(env);
    await eventually(
      'the daemon answers',
      async () => {
        if (!this.isRunning) return true;
        return existsSync(this.socketPath) && (await this.api.get('/_ping')).status === 200;
      },
      { timeoutMs: 50_000 },
    ).catch(async (err: unknown) => {
      throw new Error(`the daemon does not answer\n${await this.log()}`, { cause: err });
    });
    if (!this.isRunning) throw new Error(`the daemon ended while starting\n${await this.log()}`);
  }

  /** Starts it without waiting: for daemons that are expected to end by themselves. */
  spawn(env: Readonly<Record<string, string>> = {}): void {
    const beside = this.#options.besideProcess;
    const command = [
      ...(beside === undefined ? [] : ['nsenter', `--target=${String(beside)}`, '--net', '--mount', `--wd=${projectRoot}`]),
      ...[...berthCommand(), 'daemon'],
      ...['-H', this.host, '--data-root', this.dataRoot, '--exec-root', this.execRoot, '--pidfile', join(this.folder, 'berth.pid')],
      ...(this.#options.choosesBip === false ? [] : ['--bip', this.#bip]),
      ...['-D', ...(this.#options.args ?? [])],
    ];
    const config = this.#options.args?.includes('--config-file') === true ? [] : ['--config-file', join(this.folder, 'daemon.json')];
    if (config.length > 0 && !existsSync(join(this.folder, 'daemon.json'))) void Bun.write(join(this.folder, 'daemon.json'), '{}');
    // The log is appended to a file, not piped: a pipe would end with this process and take the daemon along.
    this.#child = Bun.spawn(['sh', '-c', 'exec "$@" >>"$0" 2>&1', this.logPath, ...command, ...config], {
      stdio: ['ignore', 'inherit', 'inherit'],
      cwd: projectRoot,
      env: { ...process.env, ...this.#options.env, ...env },
    });
  }

  async exited(): Promise<number> {
    return (await this.#child?.exited) ?? 0;
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#child?.exited;
  }

  /** Ends it as an operator would; rejects when it takes longer than 20 seconds. */
  async stop(): Promise<number> {
    const child = this.#child;
    if (child === undefined) return 0;
    child.kill('SIGTERM');
    const code = await Promise.race([child.exited, Bun.sleep(20_000).then(() => undefined)]);
    if (code !== undefined) return code;
    child.kill('SIGKILL');
    await child.exited;
    throw new Error(`the daemon was still running 20 s after SIGTERM\n${await this.log()}`);
  }

  async restart(env: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.stop();
    await this.start(env);
  }

  async log(): Promise<string> {
    const file = Bun.file(this.logPath);
    return (await file.exists()) ? (await file.text()).slice(-8000) : '';
  }

  async load(archive: string): Promise<void> {
    const answer = await this.api.call('POST', '/images/load?quiet=1', {
      raw: Bun.file(archive),
      headers: { 'Content-Type': 'application/x-tar' },
    });
    if (answer.status !== 200 || answer.text.includes('errorDetail')) {
      throw new Error(`loading ${archive} answered ${String(answer.status)}: ${answer.text}`);
    }
  }

  /** The stock docker command line against this daemon. */
  async docker(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return await run([...dockerCommand(), ...args], { ...options, env: { DOCKER_HOST: this.host, ...options.env } });
  }

  async dockerOk(...args: readonly string[]): Promise<string> {
    return await runOk([...dockerCommand(), ...args], { env: { DOCKER_HOST: this.host } });
  }

  /** Our own command line against this daemon. */
  async berth(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return await run([...berthCommand(), ...args], { ...options, env: { DOCKER_HOST: this.host, ...options.env } });
  }

  async removeContainers(): Promise<void> {
    const all = await this.api.expect<readonly { Id: string }[]>('GET', '/containers/json?all=1');
    await Promise.all(all.map(({ Id }) => this.api.delete(`/containers/${Id}?force=1&v=1`)));
  }

  /** What this daemon should not have left behind: call it after everything was removed and the daemon has stopped. */
  async leftovers(): Promise<string[]> {
    // The names of a daemon's bridge, table and cgroups end in eight digits made from its data root.
    const root = join(this.dataRoot, this.#options.remappedRoot ?? '');
    const suffix = new Bun.CryptoHasher('sha256').update(root).digest('hex').slice(0, 8);
    const { links, nftTables, cgroups } = await machineState();
    const found = [
      ...[...links, ...nftTables, ...cgroups].filter(name => name.includes(suffix)),
      ...mountsBelow(this.folder).map(mount => `mount ${mount}`),
      ...processesNaming(this.folder).map(line => `process ${line}`),
    ];
    if (this.#before !== undefined) {
      // Registries are peers of a test, which ends them before or after its daemon; what another daemon has just let go may still have been there before,
      // and so may a controller of cgroups that it could not unmount yet.
      const isOthers = /registry serve|^(links|netns|processes|cgroups): gone: |^mounts: gone: \/sys\/fs\/cgroup\//;
      found.push(...compareMachines(this.#before, await machineState()).filter(line => !isOthers.test(line)));
    }
    return found;
  }

  /** Removes the containers, stops the daemon, and rejects when anything of it is left on the machine. */
  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = [];
    const attempt = async (step: () => Promise<unknown>): Promise<void> => {
      await step().catch((err: unknown) => failures.push(err));
    };
    if (this.isRunning || foreignHost !== undefined) {
      await attempt(() => this.removeContainers());
      await attempt(() => this.removeNetworks());
      await attempt(() => this.stop());
    }
    await attempt(() =>
      eventually(
        'nothing is left of the daemon',
        async () => {
          const left = await this.leftovers();
          if (left.length > 0) throw new Error(left.join('\n'));
          return true;
        },
        { timeoutMs: 5000, everyMs: 100 },
      ),
    );
    if (failures.length > 0) console.error(`the daemon's log:\n${await this.log()}`);
    await this.#sweep();
    if (failures.length > 0) throw new AggregateError(failures, failures.map(err => describe(err)).join('\n'));
  }

  async removeNetworks(): Promise<void> {
    const networks = await this.api.expect<readonly { Id: string; Name: string }[]>('GET', '/networks');
    for (const { Id, Name } of networks) {
      if (!['bridge', 'host', 'none'].includes(Name)) await this.api.delete(`/networks/${Id}`);
    }
  }

  /** After a failed test: whatever is left would disturb the next one. */
  async #sweep(): Promise<void> {
    for (const line of processesNaming(this.folder)) {
      try {
        process.kill(Number(line.split(' ')[0]), 'SIGKILL');
      } catch {
        // It has ended meanwhile.
      }
    }
    for (const mount of mountsBelow(this.folder).toReversed()) await run(['umount', '-l', mount.replace(/ \(.*/, '')]);
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A folder for a test's own files; disposing removes it. */
export async function tempFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp('/tmp/berth-f-');
  await mkdir(path, { recursive: true });
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

function describe(err: unknown): string {
  if (!(err instanceof Error)) return String(err);
  return err.cause instanceof Error ? `${err.message}: ${err.cause.message}` : err.message;
}

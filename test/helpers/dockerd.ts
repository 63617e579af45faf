import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { baseImage } from '../../scripts/base-images.ts';
import { dockerCommand } from './docker-cli.ts';
import { eventually } from './eventually.ts';
import { ApiClient } from './http.ts';
import { mountsBelow, processesNaming } from './machine.ts';
import { cached } from './paths.ts';
import { run, type RunOptions, type RunResult } from './run.ts';

export interface DockerdOptions {
  readonly args?: readonly string[];
  /** Load the busybox image. Default: true. */
  readonly busybox?: boolean;
  /** Stay in the caller's network and mount namespaces, which then have to be thrown away by the caller. Default: false. */
  readonly shareNamespaces?: boolean;
  /** See the same option of our daemon. */
  readonly execRootInRun?: boolean;
}

/**
 * Starts Debian's dockerd, unpacked but not installed, as the reference to compare with. It lives in network and mount namespaces of its own, so
 * its bridge, rules and mounts end with it; its socket is reachable from everywhere, its published ports are not.
 */
export async function startDockerd(options: DockerdOptions = {}): Promise<Dockerd> {
  const folder = await mkdtemp('/tmp/berth-d-');
  const dockerd = new Dockerd(folder);
  try {
    await dockerd.start(options);
    if (options.busybox ?? true) await dockerd.load(await baseImage('busybox'));
  } catch (err) {
    await dockerd[Symbol.asyncDispose]().catch(() => undefined);
    throw err;
  }
  return dockerd;
}

export class Dockerd implements AsyncDisposable {
  readonly folder: string;
  readonly socketPath: string;
  readonly api: ApiClient;
  readonly #cgroup: string;
  #child: Bun.Subprocess | undefined;

  constructor(folder: string) {
    this.folder = folder;
    this.socketPath = join(folder, 'docker.sock');
    this.api = new ApiClient(this.socketPath, 'v1.41');
    this.#cgroup = `dockerd-${folder.split('-').at(-1) ?? ''}`;
  }

  get host(): string {
    return `unix://${this.socketPath}`;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async start({ args = [], shareNamespaces = false, execRootInRun = false }: DockerdOptions): Promise<void> {
    const bin = [cached('docker/usr/sbin'), cached('docker/usr/bin')];
    const command = [
      ...[
        'dockerd',
        '--data-root',
        join(this.folder, 'data'),
        '--exec-root',
        execRootInRun ? `/run${this.folder}` : join(this.folder, 'run'),
        '-H',
        this.host,
      ],
      ...['--pidfile', join(this.folder, 'pid'), '--bip', '10.77.0.1/24', '--cgroup-parent', `/${this.#cgroup}`],
      ...['--init-path', '/usr/bin/tini-static', '--insecure-registry', '127.0.0.0/8', ...args],
    ];
    // dockerd keeps some things below /run whatever its exec root is.
    const prepare = `ip link set lo up; mount -t tmpfs -o mode=755 none /run; ${mountControllers}`;
    const script = `${shareNamespaces ? '' : prepare}exec "$@" >"$0" 2>&1`;
    this.#child = Bun.spawn(
      [
        ...(shareNamespaces ? [] : ['unshare', '--net', '--mount', '--propagation', 'private']),
        'sh',
        '-c',
        script,
        join(this.folder, 'log'),
        ...command,
      ],
      { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, PATH: [...bin, process.env.PATH].join(':') } },
    );
    await eventually('dockerd answers', async () => existsSync(this.socketPath) && (await this.api.get('/_ping')).status === 200, {
      timeoutMs: 30_000,
    }).catch(async (err: unknown) => {
      throw new Error(`dockerd does not answer\n${await Bun.file(join(this.folder, 'log')).text()}`, { cause: err });
    });
  }

  async load(archive: string): Promise<void> {
    const { exitCode, stderr } = await this.docker(['load', '-q', '-i', archive]);
    if (exitCode !== 0) throw new Error(`dockerd does not load ${archive}: ${stderr}`);
  }

  async docker(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return await run([...dockerCommand(), ...args], { ...options, env: { DOCKER_HOST: this.host, ...options.env } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child !== undefined && this.#child.exitCode === null) {
      const all = (await this.docker(['ps', '-aq'])).stdout.split('\n').filter(Boolean);
      if (all.length > 0) await this.docker(['rm', '-fv', ...all]);
      // It may see hierarchies that have been unmounted elsewhere since it started: only in its own mounts are they in reach.
      const removeGroups = `find /sys/fs/cgroup/*/${this.#cgroup} -depth -type d -exec rmdir {} +`;
      await run(['nsenter', `--mount=/proc/${String(this.pid)}/ns/mnt`, 'sh', '-c', removeGroups]);
      this.#child.kill('SIGTERM');
      await Promise.race([this.#child.exited, Bun.sleep(20_000)]);
      this.#child.kill('SIGKILL');
      await this.#child.exited;
    }
    for (const line of processesNaming(this.folder)) await run(['kill', '-9', line.split(' ')[0] ?? '']);
    this.#removeCgroups();
    // In shared namespaces its mounts do not end with it.
    for (const mount of mountsBelow(this.folder).toReversed()) await run(['umount', '-l', mount.replace(/ \(.*/, '')]);
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Its own group and what it made below, such as the one of its builds, in every hierarchy. */
  #removeCgroups(): void {
    for (const hierarchy of ['', ...readdirSync('/sys/fs/cgroup')]) {
      removeTree(join('/sys/fs/cgroup', hierarchy, this.#cgroup));
      // With version 1, where a controller was mounted in a namespace that has gone.
      if (hierarchy !== '' && !existsSync('/sys/fs/cgroup/cgroup.controllers')) removeDirectory(join('/sys/fs/cgroup', hierarchy));
    }
  }
}

/**
 * Mounts, in dockerd's own namespace, the controllers that a daemon of ours mounts or has mounted outside: with one that is in use and that it cannot
 * see, dockerd finds no figures of its containers. Their directories are those that our daemons make and remove.
 */
const mountControllers = `if [ -e /sys/fs/cgroup/unified/cgroup.controllers ]; then
  for name in $(cat /sys/fs/cgroup/unified/cgroup.controllers) $(awk '$2 > 0 && $4 == 1 { print $1 }' /proc/cgroups); do
    mkdir -p /sys/fs/cgroup/$name; mountpoint -q /sys/fs/cgroup/$name || mount -t cgroup -o $name cgroup /sys/fs/cgroup/$name
  done
fi; `;

/** Removes a cgroup and those below it. One that is not there, or still in use, is left. */
function removeTree(group: string): void {
  if (!existsSync(group)) return;
  for (const entry of readdirSync(group, { withFileTypes: true })) if (entry.isDirectory()) removeTree(join(group, entry.name));
  removeDirectory(group);
}

/** Something that is in use stays; should nobody use it, the comparison of the machine names it. */
function removeDirectory(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // In use, or no directory.
  }
}

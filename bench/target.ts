import { readdirSync, readFileSync } from 'node:fs';
import { dockerCommand } from '../test/helpers/docker-cli.ts';
import { run } from '../test/helpers/run.ts';

/** A daemon to measure: where it listens, and which processes are its own. */
export interface Target {
  readonly name: 'berth' | 'docker';
  readonly host: string;
  /** Processes that run only because of this daemon: itself, its helpers, the monitors of its containers; not what runs in the containers. */
  processes(): number[];
}

const docker = dockerCommand();

/** Runs the stock command line against a daemon to its end and returns how long that took. Rejects when it fails. */
export async function timed(target: Target, ...args: readonly string[]): Promise<number> {
  return await timedCommand(target.host, [...docker, ...args]);
}

export async function timedCommand(host: string, command: readonly string[]): Promise<number> {
  const start = performance.now();
  const child = Bun.spawn([...command], { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, DOCKER_HOST: host } });
  const [stderr, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
  const ms = performance.now() - start;
  if (exitCode !== 0) throw new Error(`exit code ${String(exitCode)}: ${command.join(' ')}\n${stderr}`);
  return ms;
}

/** The same for steps that are not measured; returns the output. */
export async function cli(target: Target, ...args: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await run([...docker, ...args], { env: { DOCKER_HOST: target.host }, timeoutMs: 300_000 });
  if (exitCode !== 0) throw new Error(`${target.name}: exit code ${String(exitCode)}: docker ${args.join(' ')}\n${stderr}`);
  return stdout;
}

/** Proportional set size: memory of these processes, what several share divided between them. */
export function pssMb(pids: readonly number[]): number {
  let kilobytes = 0;
  for (const pid of pids) {
    try {
      kilobytes += Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${String(pid)}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
    } catch {
      // It has ended meanwhile.
    }
  }
  return kilobytes / 1024;
}

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
}

export function allProcesses(): Process[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .flatMap(name => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
        return [{ pid: Number(name), parent, command: readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ') }];
      } catch {
        return [];
      }
    });
}

/** Processes of a daemon: its descendants that are not containers, and whatever names its folder, which monitors and shims do. */
export function processesOf(daemonPid: number, folder: string): number[] {
  const all = allProcesses();
  const members = new Set([daemonPid, ...all.filter(({ command }) => command.includes(folder)).map(({ pid }) => pid)]);
  const monitors = /conmon|containerd-shim/;
  for (let grown = true; grown; ) {
    grown = false;
    for (const { pid, parent } of all) {
      const parentCommand = all.find(one => one.pid === parent)?.command ?? '';
      if (members.has(pid) || !members.has(parent) || monitors.test(parentCommand)) continue;
      members.add(pid);
      grown = true;
    }
  }
  return [...members];
}

/** The same for a daemon that was running already and whose folders are not known: by the names of Docker's programs. */
export function processesNamed(pattern: RegExp): number[] {
  return allProcesses()
    .filter(({ command }) => pattern.test(command.split(' ')[0] ?? ''))
    .map(({ pid }) => pid);
}

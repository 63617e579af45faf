import { readFile, readdir } from 'node:fs/promises';
import { availableParallelism, hostname, machine, release, totalmem } from 'node:os';
import type { Logger } from '#base/log.ts';
import { isErrno } from '#base/errors.ts';
import type { Machine } from '#core/machine.ts';

/** What this machine is. Names and versions are read once; what can change is read each time. */
export function createMachine(log: Logger): Machine {
  let distribution: Promise<{ name: string; version: string }> | undefined;
  return {
    async facts() {
      distribution ??= readDistribution();
      const [{ name, version }, forwarding, openFiles, threads] = await Promise.all([
        distribution,
        readForwarding(),
        countOpenFiles(log),
        countThreads(),
      ]);
      return {
        kernelVersion: release(),
        operatingSystem: name,
        osVersion: version,
        machine: machine(),
        hostname: hostname(),
        cpuCount: availableParallelism(),
        memoryBytes: totalmem(),
        ipv4Forwarding: forwarding,
        openFiles,
        threads,
      };
    },
  };
}

async function readDistribution(): Promise<{ name: string; version: string }> {
  const text = (await readIfThere('/etc/os-release')) ?? (await readIfThere('/usr/lib/os-release')) ?? '';
  return parseOsRelease(text);
}

/** os-release(5): shell-like assignments. */
export function parseOsRelease(text: string): { name: string; version: string } {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^([A-Z_]+)=(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|(\S*))\s*$/.exec(line.trim());
    if (match?.[1] !== undefined) values.set(match[1], (match[2]?.replaceAll(/\\(.)/g, '$1') ?? match[3] ?? match[4] ?? '').trim());
  }
  return { name: values.get('PRETTY_NAME') ?? values.get('NAME') ?? 'Linux', version: values.get('VERSION_ID') ?? '' };
}

const readForwarding = async (): Promise<boolean> => (await readIfThere('/proc/sys/net/ipv4/ip_forward'))?.trim() === '1';

async function countOpenFiles(log: Logger): Promise<number> {
  try {
    return (await readdir('/proc/self/fd')).length;
  } catch (err) {
    log.debug('open files cannot be counted', { error: err });
    return 0;
  }
}

/** proc_pid_status(5). */
const countThreads = async (): Promise<number> =>
  Number(/^Threads:\s*(\d+)/m.exec((await readIfThere('/proc/self/status')) ?? '')?.[1] ?? 0);

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return undefined;
    throw err;
  }
}

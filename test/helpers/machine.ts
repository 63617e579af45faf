import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { runOk } from './run.ts';

/** What containers could leave behind. Each list is sorted and holds one line per thing. */
export interface MachineState {
  readonly mounts: readonly string[];
  readonly links: readonly string[];
  readonly nftTables: readonly string[];
  readonly cgroups: readonly string[];
  readonly processes: readonly string[];
  readonly netns: readonly string[];
}

/** Programs that belong to containers; a machine has its own other processes, which come and go. */
const ours = /^(berth|conmon|crun|runc|dockerd|containerd|docker-registry|registry|qemu-system|bun|tini|docker-init)/;

export async function machineState(): Promise<MachineState> {
  return {
    mounts: mounts(),
    links: links(),
    nftTables: await nftTables(),
    cgroups: cgroups(),
    processes: processes(),
    netns: namespaces(),
  };
}

/** What is in `after` and was not in `before`, and what is gone, in words; empty when the machine is as it was. */
export function compareMachines(before: MachineState, after: MachineState): string[] {
  return (Object.keys(before) as (keyof MachineState)[]).flatMap(kind => [
    ...without(after[kind], before[kind]).map(one => `${kind}: new: ${one}`),
    ...without(before[kind], after[kind]).map(one => `${kind}: gone: ${one}`),
  ]);
}

/** Mounts at or below a folder. */
export const mountsBelow = (folder: string): string[] =>
  mounts().filter(mount => mount === folder || mount.startsWith(`${folder}/`) || mount.startsWith(`${folder} `));

/** Running processes whose command line names this text, as `pid command line`. */
export function processesNaming(text: string): string[] {
  return pids().flatMap(pid => {
    const line = commandLine(pid);
    return line.includes(text) && pid !== process.pid ? [`${String(pid)} ${line}`] : [];
  });
}

/** Open descriptors of a process, as `target`; anonymous numbers left out so that two counts can be compared. */
export function openFds(pid: number): string[] {
  const folder = `/proc/${String(pid)}/fd`;
  return readdirSync(folder)
    .flatMap(fd => {
      try {
        return [readlinkSync(join(folder, fd)).replace(/\d{3,}/g, 'N')];
      } catch {
        return [];
      }
    })
    .toSorted();
}

function mounts(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(line => {
      const [left = '', right = ''] = line.split(' - ');
      return `${left.split(' ')[4] ?? ''} (${right.split(' ')[0] ?? ''})`;
    })
    .toSorted();
}

const links = (): string[] => readdirSync('/sys/class/net').toSorted();

async function nftTables(): Promise<string[]> {
  if (Bun.which('nft') === null || process.getuid?.() !== 0) return [];
  return (await runOk(['nft', 'list', 'tables'])).split('\n').filter(Boolean).toSorted();
}

/** Folders that containers and daemons make; a service manager makes and removes others in its own branch as it pleases. */
const cgroupsOfEngines = /^(berth|docker)/;

/** Cgroup folders of every hierarchy: those at its top, and all below those of container engines. */
function cgroups(): string[] {
  const below = (folder: string): string[] => entries(folder).flatMap(entry => [join(folder, entry), ...below(join(folder, entry))]);
  const ofHierarchy = (root: string): string[] =>
    entries(root).flatMap(top => [join(root, top), ...(cgroupsOfEngines.test(top) ? below(join(root, top)) : [])]);
  const root = '/sys/fs/cgroup';
  // With v2 only, the folder itself is the hierarchy; otherwise each folder in it is the place for one, which the mounts tell.
  if (existsSync(join(root, 'cgroup.controllers'))) return ofHierarchy(root).toSorted();
  return entries(root)
    .flatMap(hierarchy => ofHierarchy(join(root, hierarchy)))
    .toSorted();
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter(entry => entry.isDirectory())
      .map(entry => entry.name);
  } catch {
    return [];
  }
}

function processes(): string[] {
  return (
    pids()
      .filter(pid => pid !== process.pid && ours.test(nameOf(pid)))
      .map(pid => [pid, commandLine(pid)] as const)
      // A process that has ended and waits to be reaped has no command line any more.
      .filter(([, line]) => line !== '')
      .map(([pid, line]) => `${String(pid)} ${line.slice(0, 200)}`)
      .toSorted()
  );
}

/** Network namespaces that some process lives in. */
function namespaces(): string[] {
  const found = new Set<string>();
  for (const pid of pids()) {
    try {
      found.add(readlinkSync(`/proc/${String(pid)}/ns/net`));
    } catch {
      // The process has ended, or is a kernel thread of another user.
    }
  }
  return [...found].toSorted();
}

const pids = (): number[] =>
  readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number);

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8')
      .replaceAll('\0', ' ')
      .trim();
  } catch {
    return '';
  }
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${String(pid)}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}

function without(all: readonly string[], some: readonly string[]): string[] {
  const rest = new Map<string, number>();
  for (const one of some) rest.set(one, (rest.get(one) ?? 0) + 1);
  return all.filter(one => {
    const left = rest.get(one) ?? 0;
    if (left > 0) rest.set(one, left - 1);
    return left === 0;
  });
}

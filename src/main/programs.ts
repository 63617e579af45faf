import { invalidArgument } from '#base/errors.ts';
import type { RuntimeBinary } from '#core/runtime.ts';

/** Programs of the host that the engine stands on: what is installed decides what is offered. */

/** Runtimes in the order of preference: the fastest first. */
const knownRuntimes = ['crun', 'runc'] as const;
const knownInits = ['tini-static', 'tini', 'docker-init'] as const;

/** By name: those the operator added and the known ones that are installed. With none at all crun is named, so that the error says what to install. */
export function findRuntimes(added: readonly RuntimeBinary[]): Map<string, RuntimeBinary> {
  const found = new Map<string, RuntimeBinary>();
  for (const name of knownRuntimes) {
    const path = Bun.which(name);
    if (path !== null) found.set(name, { name, path, args: [] });
  }
  for (const runtime of added) found.set(runtime.name, runtime);
  if (found.size === 0) found.set('crun', { name: 'crun', path: 'crun', args: [] });
  return found;
}

/** The runtime of containers that name none. */
export function defaultRuntimeName(wanted: string | undefined, runtimes: ReadonlyMap<string, RuntimeBinary>): string {
  return wanted ?? knownRuntimes.find(name => runtimes.has(name)) ?? 'crun';
}

/** Rejects with InvalidArgument a default runtime that containers could not be run by. */
export function checkDefaultRuntime(wanted: string | undefined, added: readonly RuntimeBinary[]): void {
  if (wanted === undefined) return;
  const found = findRuntimes(added);
  if (found.has(wanted)) return;
  const known = knownRuntimes.some(name => name === wanted);
  throw invalidArgument(
    `specified default runtime '${wanted}' does not exist; ${known ? `install the package ${wanted}` : `add it with --add-runtime ${wanted}=path`}, or choose one of: ${[...found.keys()].join(', ')}`,
  );
}

export function findInit(wanted: string | undefined): string | undefined {
  if (wanted !== undefined) return wanted;
  for (const name of knownInits) {
    const path = Bun.which(name);
    if (path !== null) return path;
  }
  return undefined;
}

/** Names and versions of what is installed, as the programs tell them. */
export async function componentVersions(
  runtimes: ReadonlyMap<string, RuntimeBinary>,
  init: string | undefined,
): Promise<{ name: string; version: string }[]> {
  const programs: readonly (readonly [name: string, path: string | null])[] = [
    ['conmon', Bun.which('conmon')],
    ...[...runtimes.values()].map(runtime => [runtime.name, Bun.which(runtime.path)] as const),
    ['init', init === undefined ? null : Bun.which(init)],
  ];
  const known = programs.flatMap(([name, path]) => (path === null ? [] : [{ name, path }]));
  return await Promise.all(known.map(async ({ name, path }) => ({ name, version: await versionOf(path) })));
}

async function versionOf(path: string): Promise<string> {
  const child = Bun.spawn([path, '--version'], { stdio: ['ignore', 'pipe', 'ignore'], signal: AbortSignal.timeout(5_000) });
  const text = await child.stdout.text();
  return /(\d+\.\d+[\w.+~-]*)/.exec(text)?.[1] ?? 'unknown';
}

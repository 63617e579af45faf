import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { silentLogger } from '#base/log.ts';
import { type RuntimeUnderTest, runtimeContract } from '#core/runtime.contract.ts';
import { mountsBelow, processesNaming } from '#test/helpers/machine.ts';
import { type Need, unmet } from '#test/helpers/needs.ts';
import { type OpenedRuntime, openRuntime } from './runtime.ts';
import { makeRoot, specOf } from './test-bundle.ts';

// With arguments of the operator's a runtime is not taken for what it is without them: every step is left to the program.
for (const [name, ...args] of [['crun'], ['runc'], ['crun', '--cgroup-manager=cgroupfs']] as const) {
  const lacks = unmet('root', 'conmon', name satisfies Need) ?? (Bun.which('busybox') === null ? 'busybox is not installed' : undefined);
  if (lacks === undefined) runtimeContract([name, ...args].join(' '), () => openUnderTest(name, args));
  else console.log(`skipped here: container runtime ${name}: ${lacks}`);
}

async function openUnderTest(name: string, args: readonly string[]): Promise<RuntimeUnderTest> {
  const dir = mkdtempSync('/tmp/berth-runtime-');
  const cgroupParent = dir.slice('/tmp'.length);
  const root = makeRoot(`${dir}/root`);
  const options = { execRoot: `${dir}/run`, cgroupParent, log: silentLogger };
  let runtime: OpenedRuntime = await openRuntime(options);
  return {
    runtime,
    binary: { name, path: name, args },
    spec: (id, argv, memoryBytes) => specOf(root, `${cgroupParent}/${id}`, argv, memoryBytes),
    limits: id => ({
      memoryBytes: limitOf(runtime, `${cgroupParent}/${id}`, 'memory'),
      pids: limitOf(runtime, `${cgroupParent}/${id}`, 'pids'),
    }),
    reopen: async () => {
      await runtime.close();
      runtime = await openRuntime(options);
      return runtime;
    },
    traces: id => [
      ...[`${dir}/run/containers/${id}`, `${dir}/run/runtime/${name}/${id}`].filter(path => existsSync(path)),
      ...processesNaming(id),
      ...mountsBelow(`${dir}/run/containers/${id}`),
      ...[...runtime.cgroups.hierarchies.controllers.values()]
        .map(mount => `${mount}${cgroupParent}/${id}`)
        .filter(path => existsSync(path)),
    ],
    dispose: async () => {
      await runtime.close();
      rmSync(dir, { recursive: true });
    },
  };
}

function limitOf({ cgroups: { hierarchies } }: OpenedRuntime, cgroup: string, what: 'memory' | 'pids'): number | undefined {
  const { controllers, unified, version } = hierarchies;
  const directory = `${(version === 'v2' ? unified : controllers.get(what)) ?? ''}${cgroup}`;
  const file = what === 'pids' ? 'pids.max' : version === 'v2' ? 'memory.max' : 'memory.limit_in_bytes';
  const text = readFileSync(`${directory}/${file}`, 'utf8').trim();
  return text === 'max' || Number(text) > 2 ** 60 ? undefined : Number(text);
}

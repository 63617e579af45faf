import { existsSync, rmSync } from 'node:fs';
import { failpoint } from '#base/failpoint.ts';
import { Cgroup } from '#host/cgroups/cgroup.ts';
import type { Hierarchies } from '#host/cgroups/hierarchies.ts';
import { files, type Layout } from './layout.ts';
import { findProgram } from './oci-program.ts';
import { runProgram } from './run-program.ts';
import { type ContainerFacts, readJson, type Supervised } from './supervised.ts';

/** Removes what a container left behind, in the order in which a crash at any point leaves enough to do it again. */
export interface Eraser {
  /** What the container's directory says; undefined when there is none, or nothing was made beyond it. */
  factsOf(id: string): ContainerFacts | undefined;
  /** Ends every process of it, then removes cgroup, runtime state and directory. Anything may be missing. */
  erase(id: string, facts: ContainerFacts | undefined, processes: readonly Supervised[], signal: AbortSignal): Promise<void>;
}

export function openEraser(layout: Layout, hierarchies: Hierarchies): Eraser {
  return {
    factsOf: id => readJson(`${layout.directory({ containerId: id })}/${files.state}`) as ContainerFacts | undefined,
    erase: async (id, facts, processes, signal) => {
      const directory = layout.directory({ containerId: id });
      if (facts !== undefined) await eraseFacts(layout, hierarchies, id, facts, processes, signal);
      failpoint('runtime.remove.state');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

//   processes → (their monitors end) → the runtime's own delete where it may do more → cgroup → runtime state → directory
async function eraseFacts(
  layout: Layout,
  hierarchies: Hierarchies,
  id: string,
  facts: ContainerFacts,
  processes: readonly Supervised[],
  signal: AbortSignal,
): Promise<void> {
  const cgroup = new Cgroup(hierarchies, facts.cgroup);
  const [main] = processes;
  main?.signal(9);
  await cgroup.killAll(signal);
  await Promise.all(processes.map(process => process.exit));
  failpoint('runtime.remove.ended');
  const program = await findProgram(facts.runtime).catch(() => undefined);
  const state = `${layout.runtimeRoot(facts.runtime.name)}/${id}`;
  if (program !== undefined && (program.kind === 'other' || facts.hasHooks) && existsSync(state)) {
    const args = program.args(layout.runtimeRoot(program.name), `${layout.directory({ containerId: id })}/${files.runtimeLog}`);
    await runProgram([program.path, ...args, 'delete', '--force', id], signal);
  }
  await cgroup.remove(signal);
  for (const path of facts.madeParents.toReversed()) await new Cgroup(hierarchies, path).removeIfEmpty();
  failpoint('runtime.remove.cgroup');
  rmSync(state, { recursive: true, force: true });
}

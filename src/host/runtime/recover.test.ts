import { expect } from 'bun:test';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { silentLogger } from '#base/log.ts';
import { newId } from '#base/id.ts';
import { processesNaming } from '#test/helpers/machine.ts';
import { needs } from '#test/helpers/needs.ts';
import { openRuntime } from './runtime.ts';
import { makeRoot } from './test-bundle.ts';

const child = new URL('test-crash.ts', import.meta.url).pathname;
const { describe, test } = needs('root', 'crun', 'conmon');

async function until(check: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error('not within five seconds');
    await Bun.sleep(2);
  }
}

describe('recover() after a daemon was killed', () => {
  // What the next daemon finds: nothing; the container, made but not started; running, with or without an exec.
  const cases: readonly (readonly [failpoint: string, found: readonly string[], orElse: readonly string[] | undefined])[] = [
    ['runtime.create.directory', [], undefined],
    // The runtime is started from the daemon's memory: it comes to be if it was started before the daemon was gone.
    ['runtime.create.spawned', [], ['created']],
    ['runtime.create.bundle', [], undefined],
    ['runtime.create.made', ['created'], undefined],
    ['runtime.start.asked', ['created'], undefined],
    ['runtime.start.done', ['running'], undefined],
    ['runtime.exec.directory', ['running'], undefined],
    ['runtime.exec.spawned', ['running'], undefined],
    ['runtime.exec.reported', ['running'], undefined],
    ['runtime.exec.made', ['running', 'exec'], undefined],
    ['runtime.remove.ended', ['exited', 'exec'], undefined],
    ['runtime.remove.cgroup', ['exited', 'exec'], undefined],
    ['runtime.remove.state', ['exited', 'exec'], undefined],
  ];
  test.each(cases)('at %s finds %p, and leaves nothing after removing it', async (failpoint, expected, orElse) => {
    const dir = mkdtempSync('/tmp/berth-recover-');
    const cgroupParent = dir.slice('/tmp'.length);
    const id = newId();
    const crashed = Bun.spawn([process.execPath, child, dir, makeRoot(`${dir}/root`), id], {
      env: { ...process.env, BERTH_FAILPOINT: failpoint },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    await crashed.exited;
    expect(crashed.signalCode).toBe('SIGKILL');

    const runtime = await openRuntime({ execRoot: `${dir}/run`, cgroupParent, log: silentLogger });
    const found = await runtime.recover(new Set([id]));
    expect(found.flatMap(one => [one.state.status, ...one.execs.map(() => 'exec')])).toBeOneOf([[...expected], [...(orElse ?? expected)]]);
    // An exec that does not count is not there: nothing runs in the container but what is known.
    if (expected[0] === 'running') await until(async () => (await runtime.pids(id)).length === expected.length);
    await runtime.remove(id);
    expect(existsSync(`${dir}/run/containers/${id}`)).toBe(false);
    expect(existsSync(`${dir}/run/runtime/crun/${id}`)).toBe(false);
    expect(processesNaming(dir)).toEqual([]);
    const mounts = [...runtime.cgroups.hierarchies.controllers.values()];
    await runtime.close();
    expect(mounts.filter(mount => existsSync(mount + cgroupParent))).toEqual([]);
    rmSync(dir, { recursive: true });
  });
});

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

describe('recover() after a daemon was killed', () => {
  // What the next daemon finds: nothing; the container, made but not started; running, with or without an exec.
  test.each([
    ['runtime.create.directory', []],
    ['runtime.create.spawned', []],
    ['runtime.create.bundle', []],
    ['runtime.create.made', ['created']],
    ['runtime.start.asked', ['created']],
    ['runtime.start.done', ['running']],
    ['runtime.exec.directory', ['running']],
    ['runtime.exec.spawned', ['running']],
    ['runtime.exec.made', ['running', 'exec']],
    ['runtime.remove.ended', ['exited', 'exec']],
    ['runtime.remove.cgroup', ['exited', 'exec']],
    ['runtime.remove.state', ['exited', 'exec']],
  ])('at %s finds %p, and leaves nothing after removing it', async (failpoint, expected) => {
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
    expect(found.flatMap(one => [one.state.status, ...one.execs.map(() => 'exec')])).toEqual([...expected]);
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

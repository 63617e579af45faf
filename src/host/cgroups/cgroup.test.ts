import { expect } from 'bun:test';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';
import { Cgroup } from './cgroup.ts';
import { readHierarchies } from './hierarchies.ts';

needs('root').describe('Cgroup', () => {
  const { test } = needs('root');
  const hierarchies = readHierarchies();
  const roots = new Set([...hierarchies.controllers.values(), ...(hierarchies.unified === undefined ? [] : [hierarchies.unified])]);
  const signal = AbortSignal.timeout(10_000);

  test('freezes, lists, ends and removes what is in it and below, in every hierarchy', async () => {
    const parent = `/berth-test-${String(process.pid)}`;
    const children = ['a', 'b'].map(name => {
      const child = Bun.spawn(['sleep', '60'], { stdio: ['ignore', 'ignore', 'ignore'] });
      for (const root of roots) {
        mkdirSync(`${root}${parent}/${name}`, { recursive: true });
        if (!root.endsWith('/cpuset')) writeFileSync(`${root}${parent}/${name}/cgroup.procs`, String(child.pid));
      }
      return child;
    });
    const cgroup = new Cgroup(hierarchies, parent);
    expect(cgroup.children().toSorted()).toEqual(['a', 'b']);
    expect(cgroup.pids().toSorted()).toEqual(children.map(child => child.pid).toSorted());
    const one = new Cgroup(hierarchies, `${parent}/a`);
    await one.setFrozen(true, signal);
    expect(one.isFrozen()).toBe(true);
    await cgroup.killAll(signal);
    await Promise.all(children.map(child => child.exited));
    await eventually('it is empty', () => cgroup.pids().length === 0);
    await cgroup.remove(signal);
    expect([...roots].filter(root => existsSync(root + parent))).toEqual([]);
    expect(cgroup.oomKills()).toBe(0);
    await cgroup.remove(signal);
    await cgroup.killAll(signal);
  });
});

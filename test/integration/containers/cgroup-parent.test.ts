import { expect } from 'bun:test';
import { existsSync } from 'node:fs';
import { remove, sharedDaemon, start, waiting } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon');

describe('a cgroup parent', () => {
  const daemon = sharedDaemon();
  const root = existsSync('/sys/fs/cgroup/cgroup.controllers') ? '/sys/fs/cgroup' : '/sys/fs/cgroup/memory';

  test('that was made for containers goes with the last of them, whoever came first', async () => {
    const parent = `/berth-parent-${crypto.randomUUID().slice(0, 8)}`;
    const settings = { HostConfig: { CgroupParent: `${parent}/inner` } };
    const first = await start(daemon(), { ...waiting(), ...settings });
    const second = await start(daemon(), { ...waiting(), ...settings });
    expect(existsSync(`${root}${parent}/inner/${second}`)).toBe(true);
    await remove(daemon(), first);
    expect(existsSync(`${root}${parent}/inner/${second}`)).toBe(true);
    await remove(daemon(), second);
    await eventually('it is gone', () => !existsSync(`${root}${parent}`));
  });
});

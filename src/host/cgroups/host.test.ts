import { describe, expect } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { silentLogger } from '#base/log.ts';
import { needs } from '#test/helpers/needs.ts';
import { controllersOf, readHierarchies } from './hierarchies.ts';
import { openCgroupHost } from './host.ts';

const { test } = needs('root');

/** Controllers that the unified tree beside v1 hierarchies still has, or had until a moment ago: what the daemon has to mount. */
function missingControllers(): string[] {
  const { version, unified, controllers } = readHierarchies();
  if (version === 'v2' || unified === undefined) return [];
  const left = readFileSync(`${unified}/cgroup.controllers`, 'utf8').trim().split(' ');
  return controllersOf(readFileSync('/proc/cgroups', 'utf8'))
    .filter(({ name, enabled, hierarchy }) => enabled && !controllers.has(name) && (hierarchy !== 0 || left.includes(name)))
    .map(({ name }) => name);
}

describe('the host of cgroups', () => {
  const missing = missingControllers();
  if (missing.length === 0) console.log('skipped here: no controller is left to a unified tree beside v1 hierarchies');

  test.skipIf(missing.length === 0)('mounts what is missing each time it opens, also right after it was closed', async () => {
    const directory = mkdtempSync('/tmp/berth-cgroups-');
    try {
      for (let round = 0; round < 5; round += 1) {
        const host = await openCgroupHost({ instance: 'rounds', log: silentLogger, registry: join(directory, 'registry') });
        const { controllers } = host.hierarchies;
        await host.close();
        for (const name of missing) expect([round, name, controllers.has(name)]).toEqual([round, name, true]);
        for (const name of missing) expect([round, name, readHierarchies().controllers.has(name)]).toEqual([round, name, false]);
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

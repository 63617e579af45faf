import { beforeEach, describe, expect, test } from 'bun:test';
import { failedPrecondition, invalidArgument, messageOf, notFound, unavailable } from '#base/errors.ts';
import { createLogger } from '#base/log.ts';
import type { RecordStore, RecordTable } from '#core/records.ts';
import type { VolumeCatalogue, VolumeDriver, VolumeDrivers, VolumeSpec, VolumeState } from '#core/volume-driver.ts';
import { createVolumeService, type VolumeService } from './service.ts';

const log = createLogger({ level: 'error', format: 'text', write: () => undefined });

function memoryRecords(): RecordStore {
  const tables = new Map<string, Map<string, unknown>>();
  return {
    table<T>(noun: string): RecordTable<T> {
      const rows = (tables.get(noun) ?? new Map<string, unknown>()) as Map<string, T>;
      tables.set(noun, rows);
      return {
        get: key => rows.get(key),
        put: (key, value) => void rows.set(key, value),
        delete: key => rows.delete(key),
        list: () => [...rows].map(([key, value]) => ({ key, value })),
      };
    },
    transaction: action => action(),
    close: () => undefined,
  };
}

class FakeDriver implements VolumeDriver {
  readonly name: string;
  readonly scope = 'local';
  readonly made = new Set<string>();
  readonly mounted = new Set<string>();
  failing: 'create' | 'remove' | undefined;

  constructor(name: string) {
    this.name = name;
  }
  check({ options }: VolumeSpec): void {
    if ('nope' in options) throw invalidArgument('invalid option: "nope"');
  }
  describe({ name }: VolumeSpec): Promise<VolumeState> {
    return Promise.resolve({ path: `/${this.name}/${name}` });
  }
  create({ name }: VolumeSpec): Promise<void> {
    if (this.failing === 'create') return Promise.reject(new Error('no space'));
    this.made.add(name);
    return Promise.resolve();
  }
  mount({ name }: VolumeSpec): Promise<string> {
    this.mounted.add(name);
    return Promise.resolve(`/${this.name}/${name}`);
  }
  unmount({ name }: VolumeSpec): Promise<void> {
    this.mounted.delete(name);
    return Promise.resolve();
  }
  remove({ name }: VolumeSpec): Promise<void> {
    if (this.failing === 'remove') return Promise.reject(new Error('busy'));
    this.made.delete(name);
    return Promise.resolve();
  }
  usage(): Promise<number> {
    return Promise.resolve(10);
  }
}

/** Has a list of its own, and counts who has what mounted. */
class FakePlugin extends FakeDriver {
  override readonly scope = 'local';
  readonly users = new Set<string>();
  answer: 'fine' | 'refuses' | 'is away' = 'fine';
  readonly catalogue: VolumeCatalogue = {
    find: async name => (this.#check(), this.made.has(name) ? { path: '', status: { fake: true } } : undefined),
    list: async () => (this.#check(), [...this.made].map(name => ({ name, path: '' }))),
  };

  #check(): void {
    if (this.answer === 'refuses') throw failedPrecondition('Mount: no room');
    if (this.answer === 'is away') throw unavailable('plugin "plugin" does not listen');
  }
  override async describe({ name }: VolumeSpec): Promise<VolumeState> {
    this.#check();
    if (!this.made.has(name)) throw notFound(`get ${name}: no such volume`);
    return { path: '', status: { fake: true } };
  }
  override async mount({ name }: VolumeSpec, user = ''): Promise<string> {
    this.#check();
    this.users.add(`${name} ${user}`);
    return `/mnt/${name}`;
  }
  override async unmount({ name }: VolumeSpec, user = ''): Promise<void> {
    this.#check();
    this.users.delete(`${name} ${user}`);
  }
  override async remove(spec: VolumeSpec): Promise<void> {
    this.#check();
    await super.remove(spec);
  }
}

let records: RecordStore;
let plugin: FakePlugin;
let local: FakeDriver;
let events: string[];
let volumes: VolumeService;

const other = new FakeDriver('other');
const drivers = (): VolumeDrivers => ({
  async find(name) {
    const found = [local, other, plugin].find(driver => driver.name === name);
    if (found === undefined) throw notFound(`error looking up volume plugin ${name}: plugin "${name}" not found`);
    return found;
  },
  catalogues: async () => [plugin],
});

const open = (): VolumeService =>
  createVolumeService({
    records,
    drivers: drivers(),
    events: { publish: ({ action, actorId }) => void events.push(`${action} ${actorId.length === 64 ? 'anonymous' : actorId}`) },
    log,
  });

beforeEach(() => {
  records = memoryRecords();
  local = new FakeDriver('local');
  plugin = new FakePlugin('plugin');
  events = [];
  volumes = open();
});

const create = async (name: string, more: Partial<Parameters<VolumeService['create']>[0]> = {}) =>
  await volumes.create({ name, driver: '', options: {}, labels: {}, ...more });
const acquire = async (name: string | undefined, containerId: string) =>
  await volumes.acquire({ name, driver: '', driverOptions: {}, labels: {}, containerId });
const refusal = async (action: Promise<unknown>): Promise<string> =>
  await action.then(
    () => 'not refused',
    (err: unknown) => messageOf(err),
  );
const names = async (...filters: [string, string[]][]): Promise<string[]> =>
  (await volumes.list(new Map(filters))).volumes.map(({ volume }) => volume.name);

describe('create', () => {
  test('makes it once; a second call finds it', async () => {
    const { volume, mountpoint } = await create('data', { labels: { a: 'b' } });
    expect(volume).toMatchObject({ name: 'data', driver: 'local', labels: { a: 'b' }, anonymous: false });
    expect(mountpoint).toBe('/local/data');
    expect((await create('data', { labels: { c: 'd' } })).volume.labels).toEqual({ a: 'b' });
    expect(events).toEqual(['create data']);
  });

  test('without a name it is anonymous and marked so', async () => {
    const { volume } = await create('');
    expect(volume.name).toMatch(/^[0-9a-f]{64}$/);
    expect(volume).toMatchObject({ anonymous: true, labels: { 'com.docker.volume.anonymous': '' } });
  });

  test('refusals leave nothing behind', async () => {
    expect(await refusal(create('../x'))).toContain('create ../x: "../x" includes invalid characters for a local volume name');
    expect(await refusal(create('x1', { driver: 'nfs' }))).toContain('error looking up volume plugin nfs: plugin "nfs" not found');
    expect(await refusal(create('x2', { options: { nope: '' } }))).toContain('invalid option: "nope"');
    local.failing = 'create';
    expect(await refusal(create('x3'))).toContain('no space');
    expect(await names()).toEqual([]);
    local.failing = undefined;
    await create('data');
    expect(await refusal(create('data', { driver: 'other' }))).toContain('volume name must be unique');
  });
});

describe('in use', () => {
  test('a volume cannot be removed until its last container is gone', async () => {
    await acquire('data', 'c1');
    await acquire('data', 'c2');
    expect(await refusal(volumes.remove('data', { force: true }))).toContain('remove data: volume is in use - [c1, c2]');
    volumes.release('data', 'c1');
    await volumes.removeIfUnused('data');
    expect(await names()).toEqual(['data']);
    volumes.release('data', 'c2');
    await volumes.remove('data', { force: false });
    expect(local.made.size).toBe(0);
    expect(events).toEqual(['create data', 'destroy data']);
  });

  test('it stays mounted until the last container lets go', async () => {
    await acquire('data', 'c1');
    await acquire('data', 'c2');
    expect(await volumes.mount('data', 'c1')).toBe('/local/data');
    await volumes.mount('data', 'c2');
    await volumes.unmount('data', 'c1');
    expect(local.mounted.has('data')).toBe(true);
    expect(await volumes.unmount('data', 'c2')).toBe(true);
    expect(await volumes.unmount('data', 'c2')).toBe(false);
    expect(local.mounted.has('data')).toBe(false);
  });

  test('what is not there', async () => {
    expect(await refusal(volumes.remove('none', { force: false }))).toContain('get none: no such volume');
    await volumes.remove('none', { force: true });
    expect(await refusal(volumes.inspect('none'))).toContain('get none: no such volume');
    volumes.release('none', 'c1');
    await volumes.removeIfUnused('none');
  });

  test('a removal that fails leaves it as it was', async () => {
    await create('data');
    local.failing = 'remove';
    expect(await refusal(volumes.remove('data', { force: false }))).toContain('busy');
    expect((await volumes.inspect('data')).volume.removing).toBe(false);
  });
});

describe('list and prune', () => {
  test('filters', async () => {
    await create('data', { labels: { tier: 'db', a: '' } });
    await create('logs', { driver: 'other' });
    await acquire('data', 'c1');
    expect(await names()).toEqual(['data', 'logs']);
    expect(await names(['dangling', ['true']])).toEqual(['logs']);
    expect(await names(['dangling', ['false']])).toEqual(['data']);
    expect(await names(['driver', ['other']])).toEqual(['logs']);
    expect(await names(['label', ['tier=db', 'a']])).toEqual(['data']);
    expect(await names(['label', ['tier=web']])).toEqual([]);
    expect(await names(['name', ['^lo']])).toEqual(['logs']);
    expect(await refusal(names(['nope', ['x']]))).toContain(`invalid filter 'nope'`);
    expect(await refusal(names(['dangling', ['maybe']]))).toContain(`invalid filter 'dangling=[maybe]'`);
  });

  test('prune takes anonymous ones that nobody uses; all of them when told', async () => {
    await create('data', { labels: { keep: '' } });
    await create('');
    const { name } = await acquire(undefined, 'c1');
    expect(await volumes.prune(new Map())).toMatchObject({ reclaimedBytes: 10 });
    expect((await names()).toSorted()).toEqual(['data', name].toSorted());
    expect(
      (
        await volumes.prune(
          new Map([
            ['all', ['true']],
            ['label!', ['keep']],
          ]),
        )
      ).names,
    ).toEqual([]);
    expect((await volumes.prune(new Map([['all', ['1']]]))).names).toEqual(['data']);
    expect(await refusal(volumes.prune(new Map([['until', ['1h']]])))).toContain(`invalid filter 'until'`);
  });
});

describe('recover', () => {
  test('finishes removals, removes what was made for a container that never was, forgets uses, unmounts', async () => {
    await acquire('kept', 'c1');
    await acquire('lost', 'gone');
    const orphan = await acquire(undefined, 'gone');
    await create('half');
    local.failing = 'remove';
    const table = records.table<{ removing: boolean }>('volume');
    table.put('half', { ...(table.get('half') ?? { removing: false }), removing: true });
    for (const name of ['kept', 'lost']) await local.mount({ name, options: {} });
    local.failing = undefined;
    volumes = open();
    const repaired = await volumes.recover([{ id: 'c1', running: true }]);
    expect(repaired.join('\n')).toContain(`removed the volume half, whose removal had begun`);
    expect(repaired.join('\n')).toContain(`removed the volume ${orphan.name}, made for a container that was never finished`);
    expect(await names()).toEqual(['kept', 'lost']);
    expect((await volumes.inspect('lost')).volume.users).toEqual([]);
    expect([...local.mounted]).toEqual(['kept']);
    await volumes.unmount('kept', 'c1');
    expect(local.mounted.size).toBe(0);
  });
});

describe('a driver with a list of its own', () => {
  const mounts = async (name: string) => (await volumes.inspect(name)).volume.mounts;

  test('what it has is listed, inspected, used and removed as if it had been made here', async () => {
    plugin.made.add('theirs');
    expect(await names()).toEqual(['theirs']);
    expect(await volumes.inspect('theirs')).toMatchObject({ status: { fake: true }, volume: { driver: 'plugin', users: [] } });
    expect(await acquire('theirs', 'c1')).toMatchObject({ driver: 'plugin', created: false });
    expect(await refusal(volumes.remove('theirs', { force: false }))).toContain('volume is in use - [c1]');
    volumes.release('theirs', 'c1');
    await volumes.remove('theirs', { force: false });
    expect([plugin.made.size, await names()]).toEqual([0, []]);
    expect(events).toEqual(['destroy theirs']);
  });

  test('each container is told, and nobody is forgotten when the daemon dies', async () => {
    await create('v', { driver: 'plugin' });
    for (const container of ['c1', 'c2']) await acquire('v', container);
    expect(await volumes.mount('v', 'c1')).toBe('/mnt/v');
    await volumes.mount('v', 'c2');
    await volumes.unmount('v', 'c2');
    expect([...plugin.users]).toEqual(['v c1']);
    expect(await volumes.unmount('v', 'c2')).toBe(false);
    await volumes.mount('v', 'c2');
    volumes = open();
    expect((await volumes.recover([{ id: 'c1', running: true }])).join()).toContain(
      'told the volume driver plugin that the volume v is not used any more',
    );
    expect([[...plugin.users], await mounts('v')]).toEqual([['v c1'], ['c1']]);
  });

  test('a refusal is passed on and leaves nothing; silence is told later', async () => {
    await create('v', { driver: 'plugin' });
    await acquire('v', 'c1');
    plugin.answer = 'refuses';
    expect(await refusal(volumes.mount('v', 'c1'))).toContain(`error while mounting volume 'v': Mount: no room`);
    plugin.answer = 'fine';
    expect(await mounts('v')).toEqual([]);
    await volumes.mount('v', 'c1');
    plugin.answer = 'is away';
    expect(await volumes.unmount('v', 'c1')).toBe(true);
    plugin.answer = 'fine';
    expect(await mounts('v')).toEqual(['c1']);
    volumes = open();
    await volumes.recover([{ id: 'c1', running: false }]);
    expect([plugin.users.size, await mounts('v')]).toEqual([0, []]);
  });

  test('one that is away hides nothing, and is forgotten by force', async () => {
    await create('v', { driver: 'plugin' });
    plugin.answer = 'is away';
    expect(await names()).toEqual(['v']);
    expect((await volumes.list(new Map())).warnings.join()).toContain('error listing volumes of the driver plugin');
    expect(await refusal(volumes.remove('v', { force: false }))).toContain('does not listen');
    await create('local-one');
    await volumes.remove('v', { force: true });
    expect(await names()).toEqual(['local-one']);
  });
});

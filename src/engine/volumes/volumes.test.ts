import { beforeEach, describe, expect, test } from 'bun:test';
import { invalidArgument, messageOf } from '#base/errors.ts';
import { createLogger } from '#base/log.ts';
import type { RecordStore, RecordTable } from '#core/records.ts';
import type { VolumeDriver, VolumeSpec } from '#core/volume-driver.ts';
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
  readonly made = new Set<string>();
  readonly mounted = new Set<string>();
  failing: 'create' | 'remove' | undefined;

  constructor(name: string) {
    this.name = name;
  }
  check({ options }: VolumeSpec): void {
    if ('nope' in options) throw invalidArgument('invalid option: "nope"');
  }
  path(name: string): string {
    return `/${this.name}/${name}`;
  }
  create({ name }: VolumeSpec): Promise<void> {
    if (this.failing === 'create') return Promise.reject(new Error('no space'));
    this.made.add(name);
    return Promise.resolve();
  }
  mount({ name }: VolumeSpec): Promise<void> {
    this.mounted.add(name);
    return Promise.resolve();
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

let records: RecordStore;
let local: FakeDriver;
let events: string[];
let volumes: VolumeService;

const open = (): VolumeService =>
  createVolumeService({
    records,
    drivers: [local, new FakeDriver('other')],
    events: { publish: ({ action, actorId }) => void events.push(`${action} ${actorId.length === 64 ? 'anonymous' : actorId}`) },
    log,
  });

beforeEach(() => {
  records = memoryRecords();
  local = new FakeDriver('local');
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
const names = (...filters: [string, string[]][]): string[] => volumes.list(new Map(filters)).map(({ volume }) => volume.name);

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
    expect(names()).toEqual([]);
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
    expect(names()).toEqual(['data']);
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
    expect(() => volumes.inspect('none')).toThrow('get none: no such volume');
    volumes.release('none', 'c1');
    await volumes.removeIfUnused('none');
  });

  test('a removal that fails leaves it as it was', async () => {
    await create('data');
    local.failing = 'remove';
    expect(await refusal(volumes.remove('data', { force: false }))).toContain('busy');
    expect(volumes.inspect('data').volume.removing).toBe(false);
  });
});

describe('list and prune', () => {
  test('filters', async () => {
    await create('data', { labels: { tier: 'db', a: '' } });
    await create('logs', { driver: 'other' });
    await acquire('data', 'c1');
    expect(names()).toEqual(['data', 'logs']);
    expect(names(['dangling', ['true']])).toEqual(['logs']);
    expect(names(['dangling', ['false']])).toEqual(['data']);
    expect(names(['driver', ['other']])).toEqual(['logs']);
    expect(names(['label', ['tier=db', 'a']])).toEqual(['data']);
    expect(names(['label', ['tier=web']])).toEqual([]);
    expect(names(['name', ['^lo']])).toEqual(['logs']);
    expect(() => names(['nope', ['x']])).toThrow(`invalid filter 'nope'`);
    expect(() => names(['dangling', ['maybe']])).toThrow(`invalid filter 'dangling=[maybe]'`);
  });

  test('prune takes anonymous ones that nobody uses; all of them when told', async () => {
    await create('data', { labels: { keep: '' } });
    await create('');
    const { name } = await acquire(undefined, 'c1');
    expect(await volumes.prune(new Map())).toMatchObject({ reclaimedBytes: 10 });
    expect(names().toSorted()).toEqual(['data', name].toSorted());
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
    expect(names()).toEqual(['kept', 'lost']);
    expect(volumes.inspect('lost').volume.users).toEqual([]);
    expect([...local.mounted]).toEqual(['kept']);
    await volumes.unmount('kept', 'c1');
    expect(local.mounted.size).toBe(0);
  });
});

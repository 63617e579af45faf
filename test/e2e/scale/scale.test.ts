import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'bun:test';
import { median } from '../../../bench/statistics.ts';
import { create, start, waiting } from '#test/helpers/containers.ts';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

/** `full` is the promise: 200 running containers, 1,000 stopped ones, and bounds on the clock. The short form bounds what the daemon itself does. */
const full = process.env.BERTH_SCALE === 'full';
const size = full ? { running: 200, stopped: 1000, requests: 101 } : { running: 20, stopped: 100, requests: 21 };
const parallel = 8;
const medianMs = 50;
const readyMs = 1000;
/** Processor time that one request may take of the daemon in the short form, whatever else the machine does. */
const requestCpuMs = 20;
const ticksPerSecond = 100;

describe(`a daemon with many containers (${full ? 'full size' : 'short form'})`, () => {
  test(`beside ${String(size.running)} that run and have health checks, ps, inspect and stats answer quickly`, async () => {
    await using daemon = await startDaemon();
    const Healthcheck = { Test: ['CMD', 'true'], Interval: (full ? 30 : 5) * 1e9 };
    const ids = await inParallel(size.running, () => start(daemon, waiting({ Healthcheck })));
    await eventually('all of them are healthy', async () => (await healthy(daemon)) === size.running, { timeoutMs: 300_000, everyMs: 500 });
    const one = (index: number): string => ids[index % ids.length] ?? '';
    const figures = {
      ps: await measure(daemon, () => daemon.api.expect('GET', '/containers/json')),
      'ps -a': await measure(daemon, () => daemon.api.expect('GET', '/containers/json?all=1')),
      inspect: await measure(daemon, index => daemon.api.expect('GET', `/containers/${one(index)}/json`)),
      stats: await measure(daemon, index => daemon.api.expect('GET', `/containers/${one(index)}/stats?stream=0&one-shot=1`)),
    };
    for (const [what, { wallMs, cpuMs }] of Object.entries(figures)) {
      console.log(`${what}: median ${wallMs.toFixed(1)} ms, ${cpuMs.toFixed(2)} ms of the daemon's processor time each`);
    }
    const { wholeMs, longestPingMs } = await pingDuringStats(daemon, ids);
    console.log(`stats of all at once: ${wholeMs.toFixed(0)} ms; the longest answer to a ping meanwhile: ${longestPingMs.toFixed(1)} ms`);
    const shown = await daemon.berth(['stats', '--no-stream', '--format', '{{.Name}} {{.PIDs}}']);
    expect(shown.stdout.match(/^\S+ [1-9]\d*$/gm)).toHaveLength(size.running);
    const idle = await idleCost(daemon);
    console.log(`idle beside them: ${idle.cpuPercent.toFixed(2)} % of a processor, ${String(memoryMB(daemon))} MB`);
    await inParallel(ids.length, index => daemon.api.expect('DELETE', `/containers/${one(index)}?force=1`, { status: 204 }));
    const slow = Object.entries(figures).filter(([, { wallMs, cpuMs }]) => cpuMs >= requestCpuMs || (full && wallMs >= medianMs));
    expect(slow).toEqual([]);
  });

  test(`${String(size.stopped)} that are stopped cost a start little and an idle daemon nothing`, async () => {
    await using daemon = await startDaemon();
    await daemon.restart();
    const before = { ready: await readyTime(daemon), ...watches(daemon), ...(await idleCost(daemon)), memory: memoryMB(daemon) };
    const ids = await inParallel(size.stopped, async () => {
      const id = await create(daemon, { Cmd: ['true'], HostConfig: { NetworkMode: 'none' } });
      await daemon.api.expect('POST', `/containers/${id}/start`, { status: 204 });
      await daemon.api.expect('POST', `/containers/${id}/wait`);
      return id;
    });
    await daemon.restart();
    const after = { ready: await readyTime(daemon), ...watches(daemon), ...(await idleCost(daemon)), memory: memoryMB(daemon) };
    const listed = await daemon.api.expect<readonly unknown[]>('GET', '/containers/json?all=1');
    expect(listed).toHaveLength(size.stopped);
    console.log(
      `ready after ${String(after.ready.wallMs)} ms (${String(after.ready.cpuMs)} ms of processor time), without them ${String(before.ready.wallMs)} ms`,
    );
    console.log(
      `memory ${String(after.memory)} MB, without them ${String(before.memory)} MB; woken ${String(after.wakeUps)} times in two seconds, without them ${String(before.wakeUps)}`,
    );
    expect(after.inotify).toBe(before.inotify);
    expect(after.descriptors).toBeLessThanOrEqual(before.descriptors + 5);
    // Whatever wakes an idle daemon does not become more.
    expect(after.wakeUps).toBeLessThanOrEqual(before.wakeUps * 2 + 20);
    expect(after.ready.cpuMs - before.ready.cpuMs).toBeLessThan(size.stopped);
    if (full) expect(after.ready.wallMs).toBeLessThan(readyMs);
    await inParallel(ids.length, index => daemon.api.expect('DELETE', `/containers/${ids[index] ?? ''}`, { status: 204 }));
  });
});

/** Runs `step` so many times, a few at the same moment. */
async function inParallel<T>(count: number, step: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) results[index] = await step(index);
  };
  await Promise.all(Array.from({ length: parallel }, work));
  return results;
}

async function healthy(daemon: TestDaemon): Promise<number> {
  const filters = encodeURIComponent(JSON.stringify({ health: ['healthy'] }));
  return (await daemon.api.expect<readonly unknown[]>('GET', `/containers/json?filters=${filters}`)).length;
}

/** One request after the other: the median on the clock, and the mean of what each takes of the daemon. */
async function measure(daemon: TestDaemon, request: (index: number) => Promise<unknown>): Promise<{ wallMs: number; cpuMs: number }> {
  const times: number[] = [];
  const cpuBefore = cpuMs(daemon);
  for (let index = 0; index < size.requests; index += 1) {
    const began = performance.now();
    await request(index);
    times.push(performance.now() - began);
  }
  return { wallMs: median(times), cpuMs: (cpuMs(daemon) - cpuBefore) / size.requests };
}

async function pingDuringStats(daemon: TestDaemon, ids: readonly string[]): Promise<{ wholeMs: number; longestPingMs: number }> {
  const began = performance.now();
  let isOver = false;
  const all = Promise.all(ids.map(id => daemon.api.expect('GET', `/containers/${id}/stats?stream=0&one-shot=1`))).then(() => {
    isOver = true;
    return performance.now() - began;
  });
  let longestPingMs = 0;
  while (!isOver) {
    const asked = performance.now();
    await daemon.api.get('/_ping');
    longestPingMs = Math.max(longestPingMs, performance.now() - asked);
  }
  return { wholeMs: await all, longestPingMs };
}

/** proc_pid_stat(5): user and system time. */
function cpuMs(daemon: TestDaemon): number {
  const fields = readFileSync(`/proc/${String(daemon.pid)}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / ticksPerSecond) * 1000;
}

const status = (daemon: TestDaemon, field: string): number =>
  Number(new RegExp(`^${field}:\\s*(\\d+)`, 'm').exec(readFileSync(`/proc/${String(daemon.pid)}/status`, 'utf8'))?.[1] ?? 0);
const memoryMB = (daemon: TestDaemon): number => Math.round(status(daemon, 'VmRSS') / 1024);

/** What it does in two seconds in which nobody asks for anything. */
async function idleCost(daemon: TestDaemon): Promise<{ wakeUps: number; cpuPercent: number }> {
  const before = { wakeUps: status(daemon, 'voluntary_ctxt_switches'), cpu: cpuMs(daemon) };
  await Bun.sleep(2000);
  return { wakeUps: status(daemon, 'voluntary_ctxt_switches') - before.wakeUps, cpuPercent: (cpuMs(daemon) - before.cpu) / 20 };
}

/** Files that it watches, and descriptors that it holds. */
function watches(daemon: TestDaemon): { inotify: number; descriptors: number } {
  const folder = `/proc/${String(daemon.pid)}/fdinfo`;
  const infos = readdirSync(folder).map(fd => readIfThere(`${folder}/${fd}`));
  return { inotify: infos.join('\n').match(/^inotify /gm)?.length ?? 0, descriptors: infos.length };
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** From the start of the process until it answers, in its own words. */
async function readyTime(daemon: TestDaemon): Promise<{ wallMs: number; cpuMs: number }> {
  const said = [...(await daemon.log()).matchAll(/daemon is ready.* startMs=(\d+)/g)].at(-1);
  return { wallMs: Number(said?.[1]), cpuMs: cpuMs(daemon) };
}

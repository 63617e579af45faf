/**
 * What does not depend on another daemon: how a container's network set-up grows with those that are there, and what a large range of ports costs.
 * `CpuMs` is what the process used of the processor, which a busy machine does not change much. Run it in a network namespace of its own: `unshare --net node_modules/.bin/bun bench/network-scale.ts`.
 */
import { runOk } from '../test/helpers/run.ts';
import { type Member, NetworkStack } from '../test/helpers/network-stack.ts';
import { median } from './statistics.ts';
import { allProcesses, pssMb } from './target.ts';

const rangeOf = 5000;
const attempts = 15;
const firstPort = 20_000;

await runOk(['ip', 'link', 'set', 'lo', 'up']);
const stack = new NetworkStack({ addressPools: [{ base: '10.150.0.0/16', size: 20 }] });
await stack.service.recover(new Map());
const members: Member[] = [];
const stop = async (member: Member | undefined): Promise<void> => {
  if (member !== undefined) await stack.service.teardown(member.request.containerId);
};

/** Milliseconds to set up one more. */
async function oneMore(): Promise<number> {
  const samples: number[] = [];
  for (let round = 0; round < attempts; round += 1) {
    const began = performance.now();
    const member = await stack.start('more', { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '' }] } });
    samples.push(performance.now() - began);
    await stop(member);
    await Bun.sleep(20);
  }
  return median(samples);
}

async function fill(count: number): Promise<void> {
  while (members.length < count) members.push(await stack.start(`m${String(members.length)}`));
}

/** This process and the port proxy: what a daemon has for networks. */
const memoryMb = (): number => {
  Bun.gc(true);
  const proxies = allProcesses().filter(({ command }) => command.includes('internal-port-proxy') && command.includes(stack.dir));
  return pssMb([process.pid, ...proxies.map(({ pid }) => pid)]);
};

await fill(5);
await oneMore();
const few = await oneMore();
await fill(500);
const many = await oneMore();
for (const member of members.splice(0)) await stop(member);

const binding = (hostPort: string) => ({ [`${hostPort}/tcp`]: [{ hostIp: '', hostPort }] });
const portBindings = binding(`${String(firstPort)}-${String(firstPort + rangeOf - 1)}`);
const range: number[] = [];
const cpu: number[] = [];
let grown = 0;
for (let round = 0; round < 4; round += 1) {
  const keeper = await stack.start('keeper', { portBindings: binding(String(firstPort - 1)) });
  await Bun.sleep(1500);
  const before = memoryMb();
  const began = performance.now();
  const used = process.cpuUsage();
  const member = await stack.start('range', { portBindings });
  const { user, system } = process.cpuUsage(used);
  range.push(performance.now() - began);
  cpu.push((user + system) / 1000);
  await Bun.sleep(1500);
  grown = memoryMb() - before;
  await stop(member);
  await stop(keeper);
}
const report = {
  setupWith5Ms: few,
  setupWith500Ms: many,
  ratio: many / few,
  range5000Ms: median(range.slice(1)),
  range5000CpuMs: median(cpu.slice(1)),
  range5000MoreMb: grown,
};
console.log(JSON.stringify(report, (_, value: unknown) => (typeof value === 'number' ? Math.round(value * 100) / 100 : value), 2));
await stack.close();
process.exit(0);

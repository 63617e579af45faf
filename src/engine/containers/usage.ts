import { setTimeout as delay } from 'node:timers/promises';
import { invalidArgument, kindOf } from '#base/errors.ts';
import { letOthersGoFirst } from '#base/turns.ts';
import type { Context } from './context.ts';
import type { Entry } from './entry.ts';
import { isRunning } from './state.ts';
import type { UsageOptions, UsageReport, UsageSample } from './usage-types.ts';

const intervalMs = 1000;

/** Checked when it returns; samples are taken as the reports are read. */
export function containerUsage(ctx: Context, ref: string, options: UsageOptions, signal: AbortSignal): AsyncGenerator<UsageReport, void> {
  const entry = ctx.containers.find(ref);
  if (options.stream && options.oneShot) throw invalidArgument('cannot have stream=true and one-shot=true');
  return options.stream ? reportAgain(ctx, entry, signal) : reportOnce(ctx, entry, options.oneShot, signal);
}

async function* reportOnce(ctx: Context, entry: Entry, oneShot: boolean, signal: AbortSignal): AsyncGenerator<UsageReport, void> {
  const first = await takeSample(ctx, entry);
  if (oneShot || first === undefined) {
    yield report(entry, first, undefined);
    return;
  }
  await delay(intervalMs, undefined, { signal });
  yield report(entry, await takeSample(ctx, entry), first);
}

async function* reportAgain(ctx: Context, entry: Entry, client: AbortSignal): AsyncGenerator<UsageReport, void> {
  // Nobody waits for the removal any more when the reader has gone.
  using left = abortedWhenLeft();
  const signal = AbortSignal.any([client, ctx.closing.signal, left.signal]);
  const isRemoved = entry.next('removal', signal).then(
    () => true,
    () => true,
  );
  let previous: UsageSample | undefined;
  for (;;) {
    const sample = await takeSample(ctx, entry);
    yield report(entry, sample, previous);
    previous = sample;
    if (await Promise.race([isRemoved, delay(intervalMs, false, { signal }).catch(() => true)])) return;
  }
}

function abortedWhenLeft(): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  return { signal: controller.signal, [Symbol.dispose]: () => controller.abort(new Error('the reader has gone')) };
}

const report = ({ id, container: { name } }: Entry, sample: UsageSample | undefined, before: UsageSample | undefined): UsageReport => ({
  id,
  name,
  sample,
  previous: before === undefined ? undefined : { readAt: before.readAt, system: before.system, cpu: before.usage.cpu },
});

/** Undefined when it does not run. Hundreds may be asked for at the same moment: others are answered in between. */
async function takeSample(ctx: Context, entry: Entry): Promise<UsageSample | undefined> {
  await letOthersGoFirst();
  const { state } = entry.container;
  if (!isRunning(state)) return undefined;
  try {
    const usage = await ctx.runtime.usage(entry.id);
    const system = ctx.meter.system();
    return { readAt: new Date(), usage, system, interfaces: hasNetwork(ctx, entry) ? ctx.meter.interfaces(state.pid) : new Map() };
  } catch (err) {
    // It ended meanwhile.
    if (kindOf(err) === 'NotFound') return undefined;
    throw err;
  }
}

/** Whether its interfaces are its own or those of a container that it shares them with, not the host's. */
function hasNetwork(ctx: Context, { container }: Entry): boolean {
  const { networkMode } = container.hostConfig;
  if (container.config.networkDisabled || networkMode === 'host') return false;
  if (!networkMode.startsWith('container:')) return true;
  const other = ctx.containers.get(networkMode.slice('container:'.length));
  return other !== undefined && other.container.hostConfig.networkMode !== 'host';
}

import { type Context, publish } from './context.ts';
import { findExec } from './exec-start.ts';
import { conflict } from '#base/errors.ts';
import type { TerminalSize } from './service.ts';
import { requireRunning } from './state.ts';

export async function resizeContainer(ctx: Context, ref: string, size: TerminalSize): Promise<void> {
  const { container, id } = ctx.containers.find(ref);
  requireRunning(container);
  await ctx.runtime.resize({ containerId: id }, size);
  publish(ctx, container, 'resize', { height: String(size.height), width: String(size.width) });
}

export async function resizeExec(ctx: Context, execId: string, size: TerminalSize): Promise<void> {
  const { exec, entry } = findExec(ctx, execId);
  if (exec.state.status !== 'running') throw conflict(`exec command ${exec.id} is not running`);
  await ctx.runtime.resize({ containerId: entry.id, execId: exec.id }, size);
}

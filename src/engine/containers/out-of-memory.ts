import { type Context, publish } from './context.ts';
import type { Entry } from './entry.ts';
import { isRunning } from './state.ts';

/** Records and tells it when the kernel ends a process of the present run for want of memory, which may not be the end of the container. */
export function watchMemory(ctx: Context, entry: Entry): void {
  const { run } = entry;
  ctx.runtime.onOutOfMemory(entry.id, () => {
    const { container } = entry;
    if (entry.run !== run || !isRunning(container.state)) return;
    container.state = { ...container.state, oomKilled: true };
    ctx.containers.save(entry);
    publish(ctx, container, 'oom');
  });
}

import { invalidArgument } from '#base/errors.ts';
import type { Context } from './context.ts';
import type { WaitResult } from './service.ts';
import { errorOf, exitCodeOf, isActive } from './state.ts';

/** `not-running` (also when empty), `next-exit` or `removed`. Registered when this returns. */
export function waitForContainer(
  ctx: Context,
  ref: string,
  condition: string,
  signal: AbortSignal,
): { readonly ended: Promise<WaitResult> } {
  const entry = ctx.containers.find(ref);
  const { state } = entry.container;
  switch (condition) {
    case '':
    case 'not-running':
      if (isActive(state)) return { ended: entry.next('exit', signal) };
      return { ended: Promise.resolve({ exitCode: exitCodeOf(state), ...(errorOf(state) === '' ? {} : { error: errorOf(state) }) }) };
    case 'next-exit':
      return { ended: entry.next('exit', signal) };
    case 'removed':
      return { ended: entry.next('removal', signal) };
    default:
      throw invalidArgument(`invalid condition: "${condition}"`);
  }
}

import { ExitError } from '../../errors.ts';
import { int, text } from '../../flags/flag.ts';

/** The flags of `stop` and `restart`. */
export const stopFlags = {
  signal: text('Signal that asks it to end', { short: 's' }),
  timeout: int('Seconds to wait before it is killed; -1 to wait without end', { short: 't' }),
  time: int('Seconds to wait before it is killed', { deprecated: 'use --timeout instead' }),
};

/** Undefined when nothing was said: the container's own setting holds. */
export function stopTimeout(flags: { readonly timeout: number; readonly time: number }, changed: ReadonlySet<string>): number | undefined {
  if (changed.has('time') && changed.has('timeout'))
    throw new ExitError(1, 'conflicting options: cannot specify both --timeout and --time');
  if (changed.has('time')) return flags.time;
  return changed.has('timeout') ? flags.timeout : undefined;
}

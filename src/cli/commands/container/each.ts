import { messageOf } from '#base/errors.ts';
import type { Cli } from '../../cli.ts';
import { ExitError } from '../../errors.ts';

const silent = Symbol('nothing to say');

/**
 * Does something with each of many objects at once, at most `limit` at a time, and prints the name of each that worked, in the order given, unless it resolves with false. The
 * reasons of those that did not come afterwards, together, with exit code 1.
 */
export async function forEach(
  cli: Cli,
  names: readonly string[],
  action: (name: string) => Promise<boolean | void>,
  limit = 50,
): Promise<void> {
  const pending: (Promise<unknown> | undefined)[] = [];
  const failures: string[] = [];
  const start = (i: number): void => {
    const name = names[i];
    if (name === undefined) return;
    pending[i] = action(name).then(
      worked => (worked === false ? silent : undefined),
      (err: unknown) => err,
    );
  };
  for (let i = 0; i < Math.min(limit, names.length); i++) start(i);
  for (const [i, name] of names.entries()) {
    const failure: unknown = await pending[i];
    start(i + limit);
    if (failure === undefined) cli.out.line(name);
    else if (failure !== silent) failures.push(messageOf(failure));
  }
  if (failures.length > 0) throw new ExitError(1, failures.join('\n'));
}

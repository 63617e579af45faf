import { EngineError, invalidArgument, kindOf, messageOf } from '#base/errors.ts';
import { type Context, publish } from './context.ts';
import { parseName } from './names.ts';

export function renameContainer(ctx: Context, ref: string, newName: string): void {
  const entry = ctx.containers.find(ref);
  if (newName === '') throw invalidArgument('Neither old nor new names may be empty');
  const name = allocating(() => parseName(newName.startsWith('/') ? newName : `/${newName}`));
  const oldName = entry.container.name;
  if (name === oldName) {
    throw invalidArgument(`Renaming a container with the same name as its current name`);
  }
  allocating(() => ctx.containers.rename(entry, name));
  ctx.networks.renamed(entry.id, name);
  publish(ctx, entry.container, 'rename', { oldName: `/${oldName}` });
}

function allocating<T>(name: () => T): T {
  try {
    return name();
  } catch (err) {
    throw new EngineError(kindOf(err), `Error when allocating new name: ${messageOf(err)}`, { cause: err });
  }
}

import { invalidArgument } from '#base/errors.ts';
import { type Context, publish } from './context.ts';
import { parseName } from './names.ts';

export function renameContainer(ctx: Context, ref: string, newName: string): void {
  const entry = ctx.containers.find(ref);
  if (newName === '') throw invalidArgument('Neither old nor new names may be empty');
  const name = parseName(newName);
  const oldName = entry.container.name;
  if (name === oldName) {
    throw invalidArgument(`Renaming a container with the same name as its current name`);
  }
  ctx.containers.rename(entry, name);
  ctx.networks.renamed(entry.id, name);
  publish(ctx, entry.container, 'rename', { oldName: `/${oldName}` });
}

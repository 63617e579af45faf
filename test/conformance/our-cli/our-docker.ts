import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { berthCommand } from '#test/helpers/paths.ts';

/** Our command line under the name `docker`, so that its messages call it so. Resolves with its words. */
export async function linkedAsDocker(folder: string): Promise<string[]> {
  const [program = '', ...words] = berthCommand();
  const link = join(folder, 'docker');
  await symlink(program, link);
  return [link, ...words];
}

import { canonicalString } from '#oci/reference.ts';
import { defineCommand, minArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { parseName } from '../../remote/remote-images.ts';
import { LocalLists } from './local-lists.ts';

export const command = defineCommand({
  usage: 'MANIFEST_LIST [MANIFEST_LIST...]',
  names: ['manifest rm'],
  short: 'Forget lists that are being put together',
  args: minArgs(1),
  flags: {},
  async run(cli, { args }) {
    const lists = await LocalLists.open(cli);
    const failures: string[] = [];
    for (const name of args) {
      const list = parseName(name);
      if (lists.has(list)) lists.remove(list);
      else failures.push(`No such manifest: ${canonicalString(list)}`);
    }
    if (failures.length > 0) throw new ExitError(1, failures.join('\n'));
  },
});

import { messageOf } from '#base/errors.ts';
import { defineCommand, minArgs } from '../../command.ts';
import { currentContext } from '../../config/connect.ts';
import { ContextStore } from '../../config/contexts.ts';
import { ExitError } from '../../errors.ts';
import { bool } from '../../flags/flag.ts';

export const command = defineCommand({
  usage: 'CONTEXT [CONTEXT...]',
  names: ['context rm', 'context remove'],
  short: 'Remove contexts',
  args: minArgs(1),
  flags: { force: bool('Remove also the context in use, and do not mind one that is not there', { short: 'f' }) },
  async run(cli, { flags, args }) {
    const store = new ContextStore(cli);
    const current = await currentContext(cli);
    const failures: string[] = [];
    for (const name of args) {
      try {
        if (name === 'default') throw new Error('context "default" cannot be removed');
        if (!flags.force && !store.has(name)) throw new Error(`context ${JSON.stringify(name)} does not exist`);
        if (name === current && !flags.force) throw new Error(`context ${JSON.stringify(name)} is in use, set -f flag to force remove`);
        store.remove(name);
        if (name === current) await forgetCurrent(cli);
        cli.out.line(name);
      } catch (err) {
        failures.push(messageOf(err));
      }
    }
    if (failures.length > 0) throw new ExitError(1, failures.join('\n'));
  },
});

async function forgetCurrent(cli: Parameters<typeof currentContext>[0]): Promise<void> {
  const config = await cli.config();
  delete config.values.currentContext;
  config.save();
}

import { existsSync, writeFileSync } from 'node:fs';
import { defineCommand, rangeArgs } from '../../command.ts';
import { checkContextName, ContextStore } from '../../config/contexts.ts';
import { ExitError } from '../../errors.ts';
import { writeArchive } from './archive.ts';

export const command = defineCommand({
  usage: 'CONTEXT [FILE|-]',
  names: ['context export'],
  short: 'Write a context to a tar archive',
  args: rangeArgs(1, 2),
  flags: {},
  async run(cli, { args }) {
    const [name = '', given] = args;
    checkContextName(name);
    const store = new ContextStore(cli);
    const meta = store.read(name);
    const target = given ?? `${name}.dockercontext`;
    if (target === '-' && cli.out.isTerminal) throw new ExitError(1, 'cowardly refusing to export to a terminal, specify a file path');
    if (target !== '-' && existsSync(target)) throw new ExitError(1, `open ${target}: file exists`);
    const archive = writeArchive([
      { path: 'meta.json', mode: 0o644, contents: Buffer.from(JSON.stringify(meta)) },
      ...Object.entries(store.readTls(name)).map(([file, contents]) => ({ path: `tls/docker/${file}`, mode: 0o600, contents })),
    ]);
    if (target === '-') cli.out.write(archive);
    else {
      writeFileSync(target, archive, { mode: 0o600, flag: 'wx' });
      cli.err.line(`Written file ${JSON.stringify(target)}`);
    }
  },
});

import { defineCommand, exactArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { text } from '../../flags/flag.ts';
import { checkOutputPath, writeStream } from '../../output/file.ts';

export const command = defineCommand({
  usage: '[OPTIONS] CONTAINER',
  names: ['container export', 'export'],
  short: "Write a container's root file system as a tar archive",
  args: exactArgs(1),
  flags: { output: text('Write to this file and not to stdout', { short: 'o' }) },
  async run(cli, { flags, args }) {
    const [container = ''] = args;
    if (flags.output === '' && cli.out.isTerminal) {
      throw new ExitError(1, 'cowardly refusing to save to a terminal. Use the -o flag or redirect');
    }
    checkOutputPath(flags.output, 'failed to export container: ');
    const { containers } = await cli.client();
    await writeStream(cli, await containers.exportTar(container), flags.output);
  },
});

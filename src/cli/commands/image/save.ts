import { defineCommand, minArgs } from '../../command.ts';
import { parsePlatform } from '../../container-options/platform.ts';
import { ExitError } from '../../errors.ts';
import { csvList, text } from '../../flags/flag.ts';
import { checkOutputPath, writeStream } from '../../output/file.ts';

export const command = defineCommand({
  usage: '[OPTIONS] IMAGE [IMAGE...]',
  names: ['image save', 'save'],
  short: 'Write images to a tar archive',
  args: minArgs(1),
  flags: {
    output: text('Write to this file and not to stdout', { short: 'o' }),
    platform: csvList('Save only these platforms, such as linux/amd64', { requires: { since: '1.48' } }),
  },
  async run(cli, { flags, args }) {
    if (flags.output === '' && cli.out.isTerminal) {
      throw new ExitError(1, 'cowardly refusing to save to a terminal. Use the -o flag or redirect');
    }
    checkOutputPath(flags.output, 'failed to save image: ');
    const { images } = await cli.client();
    await writeStream(cli, await images.save(args, { platforms: flags.platform.map(parsePlatform) }), flags.output);
  },
});

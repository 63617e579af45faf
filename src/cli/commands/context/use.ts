import { defineCommand, exactArgs } from '../../command.ts';
import { checkContextName, ContextStore } from '../../config/contexts.ts';

export const command = defineCommand({
  usage: 'CONTEXT',
  names: ['context use'],
  short: 'Choose the context to use from now on',
  args: exactArgs(1),
  flags: {},
  async run(cli, { args }) {
    const name = args[0] ?? '';
    if (name !== 'default') {
      checkContextName(name);
      new ContextStore(cli).read(name);
    }
    const config = await cli.config();
    if (name === 'default') delete config.values.currentContext;
    else config.values.currentContext = name;
    config.save();
    cli.out.line(name);
    cli.err.line(`Current context is now ${JSON.stringify(name)}`);
    if ((process.env.DOCKER_HOST ?? '') !== '' && name !== 'default') {
      cli.err.line(
        `Warning: DOCKER_HOST environment variable overrides the active context. To use ${JSON.stringify(name)}, either set the global --context flag, or unset DOCKER_HOST environment variable.`,
      );
    }
  },
});

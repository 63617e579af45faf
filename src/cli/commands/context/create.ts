import { defineCommand, exactArgs } from '../../command.ts';
import { checkContextName, ContextStore } from '../../config/contexts.ts';
import { ExitError } from '../../errors.ts';
import { text } from '../../flags/flag.ts';
import { copyEndpoint, parseDockerEndpoint } from './endpoint-option.ts';

export const command = defineCommand({
  usage: '[OPTIONS] CONTEXT',
  names: ['context create'],
  short: 'Create a context',
  args: exactArgs(1),
  flags: {
    description: text('Words about it'),
    docker: text('Where the daemon is: host=…,ca=…,cert=…,key=…,skip-tls-verify=…, or from=CONTEXT', { hint: 'stringToString' }),
    from: text('Context to make it from'),
  },
  async run(cli, { flags, args }) {
    const name = args[0] ?? '';
    checkContextName(name);
    const store = new ContextStore(cli);
    if (store.has(name)) throw new ExitError(1, `context ${JSON.stringify(name)} already exists`);
    if (flags.docker === '' && flags.from === '') throw new ExitError(1, 'docker endpoint configuration is required');
    const { endpoint, tls } = flags.docker === '' ? copyEndpoint(cli, flags.from) : parseDockerEndpoint(cli, flags.docker);
    store.write({
      Name: name,
      Metadata: flags.description === '' ? {} : { Description: flags.description },
      Endpoints: { docker: endpoint },
    });
    store.writeTls(name, tls);
    cli.out.line(name);
    cli.err.line(`Successfully created context ${JSON.stringify(name)}`);
  },
});

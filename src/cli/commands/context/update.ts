import { defineCommand, exactArgs } from '../../command.ts';
import { checkContextName, ContextStore } from '../../config/contexts.ts';
import { text } from '../../flags/flag.ts';
import { parseDockerEndpoint } from './endpoint-option.ts';

export const command = defineCommand({
  usage: '[OPTIONS] CONTEXT',
  names: ['context update'],
  short: 'Change a context',
  args: exactArgs(1),
  flags: {
    description: text('Words about it'),
    docker: text('Where the daemon is: host=…,ca=…,cert=…,key=…,skip-tls-verify=…, or from=CONTEXT', { hint: 'stringToString' }),
  },
  async run(cli, { flags, args }) {
    const name = args[0] ?? '';
    checkContextName(name);
    const store = new ContextStore(cli);
    const meta = store.read(name);
    if (flags.description !== '') meta.Metadata.Description = flags.description;
    if (flags.docker !== '') {
      const { endpoint, tls } = parseDockerEndpoint(cli, flags.docker);
      meta.Endpoints.docker = endpoint;
      store.writeTls(name, tls);
    }
    store.write(meta);
    cli.out.line(name);
    cli.err.line(`Successfully updated context ${JSON.stringify(name)}`);
  },
});

import type { Cli } from '../../cli.ts';
import { anyArgs, defineCommand } from '../../command.ts';
import { currentContext, defaultEndpoint } from '../../config/connect.ts';
import { ContextStore } from '../../config/contexts.ts';
import { text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { inspectEach } from '../../output/inspect.ts';

export const command = defineCommand({
  usage: '[OPTIONS] [CONTEXT] [CONTEXT...]',
  names: ['context inspect'],
  short: 'Show all details of contexts',
  args: anyArgs,
  flags: { format: text(formatUsage('object'), { short: 'f' }) },
  async run(cli, { flags, args }) {
    const names = args.length === 0 ? [await currentContext(cli)] : args;
    return await inspectEach(cli, names, flags.format, async name => describe(cli, name), { escaped: true });
  },
});

function describe(cli: Cli, name: string): unknown {
  if (name === 'default') {
    return {
      Name: name,
      Metadata: {},
      Endpoints: { docker: { Host: defaultEndpoint(cli).text, SkipTLSVerify: false } },
      TLSMaterial: {},
      Storage: { MetadataPath: '<IN MEMORY>', TLSPath: '<IN MEMORY>' },
    };
  }
  const store = new ContextStore(cli);
  const meta = store.read(name);
  const files = Object.keys(store.readTls(name));
  return {
    ...meta,
    TLSMaterial: files.length === 0 ? {} : { docker: files },
    Storage: { MetadataPath: store.metaDirectory(name), TLSPath: store.tlsDirectory(name) },
  };
}

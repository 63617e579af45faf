import type { SystemInfo } from '#api/types/system.ts';
import { messageOf } from '#base/errors.ts';
import type { Cli } from '../../cli.ts';
import { defineCommand, noArgs } from '../../command.ts';
import { currentContext } from '../../config/connect.ts';
import { ExitError } from '../../errors.ts';
import { text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { listPlugins, type Plugin } from '../../plugins.ts';
import { describeServer, serverWarnings } from './server-info.ts';

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['system info', 'info'],
  short: 'Show what the daemon says about itself and its machine',
  args: noArgs,
  flags: { format: text(formatUsage('object'), { short: 'f' }) },
  async run(cli, { flags }) {
    const [context, plugins] = await Promise.all([currentContext(cli), listPlugins(cli)]);
    let info: SystemInfo | undefined;
    let failure: unknown;
    try {
      const { system } = await cli.client();
      info = await system.info();
    } catch (err) {
      failure = err;
    }
    if (flags.format !== '') {
      await printInfo(cli, flags.format, info, context, plugins, failure);
      return failure === undefined ? 0 : 1;
    }
    cli.out.write(describeClient(cli, context, plugins));
    if (info !== undefined) {
      cli.out.write(describeServer(info));
      for (const warning of serverWarnings(info)) cli.err.line(warning);
    }
    if (failure !== undefined) throw new ExitError(1, messageOf(failure), { cause: failure });
    return 0;
  },
});

function describeClient(cli: Cli, context: string, plugins: readonly Plugin[]): string {
  let out = `Client:${cli.name === 'berth' ? ' Berth' : ''}\n Version:    ${cli.version}\n Context:    ${context}\n Debug Mode: ${cli.options.debug}\n`;
  if (plugins.length > 0) out += ' Plugins:\n';
  for (const { name, path, metadata } of plugins) {
    out += `  ${name}: ${metadata.ShortDescription ?? ''} (${metadata.Vendor})\n`;
    if (metadata.Version !== undefined) out += `    Version:  ${metadata.Version}\n`;
    out += `    Path:     ${path}\n`;
  }
  return `${out}\nServer:\n`;
}

async function printInfo(
  cli: Cli,
  format: string,
  info: SystemInfo | undefined,
  context: string,
  plugins: readonly Plugin[],
  failure: unknown,
): Promise<void> {
  const [{ printTemplate }, { structOf }] = await Promise.all([
    import('../../output/template-output.ts'),
    import('../../template/struct-of.ts'),
  ]);
  const client = {
    Debug: cli.options.debug,
    Version: cli.version,
    Context: context,
    Plugins: plugins.map(({ name, path, metadata }) => ({ ...metadata, Name: name, Path: path })),
    Warnings: null,
  };
  const value = structOf('system.dockerInfo', {
    ...info,
    ...(failure === undefined ? {} : { ServerErrors: [messageOf(failure)] }),
    ClientInfo: client,
  });
  await printTemplate(cli, '', format, value);
}

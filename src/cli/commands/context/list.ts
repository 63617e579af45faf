import { defineCommand, noArgs } from '../../command.ts';
import { currentContext, defaultEndpoint } from '../../config/connect.ts';
import { ContextStore } from '../../config/contexts.ts';
import { bool, text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { type ListView, printList } from '../../output/list.ts';
import { ellipsis } from '../../output/text.ts';

interface Row {
  readonly name: string;
  readonly current: boolean;
  readonly description: string;
  readonly endpoint: string;
  readonly error: string;
}

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['context ls', 'context list'],
  short: 'List contexts',
  args: noArgs,
  flags: { format: text(formatUsage('table')), quiet: bool('Print names only', { short: 'q' }) },
  async run(cli, { flags }) {
    const current = await currentContext(cli);
    const rows: Row[] = new ContextStore(cli).list().map(meta => ({
      name: meta.Name,
      current: meta.Name === current,
      description: meta.Metadata.Description ?? '',
      endpoint: meta.Endpoints.docker?.Host ?? '',
      error: '',
    }));
    rows.push({
      name: 'default',
      current: current === 'default',
      description: 'Current DOCKER_HOST based configuration',
      endpoint: defaultEndpoint(cli).text,
      error: '',
    });
    if (!rows.some(row => row.current)) {
      rows.push({
        name: current,
        current: true,
        description: '',
        endpoint: '',
        error: `context ${JSON.stringify(current)}: context not found`,
      });
    }
    rows.sort((a, b) => (a.name < b.name ? -1 : 1));
    await printList(cli, view, rows, { format: flags.format, quiet: flags.quiet });
    if ((process.env.DOCKER_HOST ?? '') !== '' && !flags.quiet) {
      cli.err.line(
        'Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the global --context flag, or unset DOCKER_HOST environment variable.',
      );
    }
  },
});

const view: ListView<Row> = {
  typeName: '*formatter.clientContextContext',
  headers: {
    Name: 'NAME',
    NameAndCurrent: 'NAME',
    Current: 'CURRENT',
    Description: 'DESCRIPTION',
    DockerEndpoint: 'DOCKER ENDPOINT',
    Error: 'ERROR',
  },
  columns: ['NameAndCurrent', 'Description', 'DockerEndpoint', 'Error'],
  quietField: 'Name',
  hiddenFields: { NameAndCurrent: row => (row.current ? `${row.name} *` : row.name) },
  fields: {
    Current: row => row.current,
    Description: row => ellipsis(row.description, 60),
    DockerEndpoint: row => row.endpoint,
    Error: row => ellipsis(row.error, 45),
    Name: row => row.name,
  },
};

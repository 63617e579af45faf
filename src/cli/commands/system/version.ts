import type { SystemVersion, VersionComponent } from '#api/types/system.ts';
import { clientApiVersion } from '#client/connection.ts';
import { messageOf } from '#base/errors.ts';
import type { Cli } from '../../cli.ts';
import { defineCommand, noArgs } from '../../command.ts';
import { currentContext } from '../../config/connect.ts';
import { ExitError } from '../../errors.ts';
import { text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';

interface ClientVersion {
  readonly Platform?: { readonly Name: string };
  readonly Version: string;
  readonly ApiVersion: string;
  readonly DefaultAPIVersion: string;
  readonly GitCommit: string;
  readonly GoVersion: string;
  readonly Os: string;
  readonly Arch: string;
  readonly BuildTime: string;
  readonly Context: string;
}

const architectures: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['version'],
  short: 'Show the versions of client and daemon',
  args: noArgs,
  flags: { format: text(formatUsage('object'), { short: 'f' }) },
  async run(cli, { flags }) {
    const client = await clientVersion(cli);
    let server: SystemVersion | undefined;
    let apiVersion: string = clientApiVersion;
    let failure: unknown;
    try {
      const { system, connection } = await cli.client();
      server = await system.version();
      apiVersion = await connection.apiVersion();
    } catch (err) {
      failure = err;
    }
    const shown = { Client: { ...client, ApiVersion: apiVersion }, Server: server === undefined ? null : wireOrder(server) };
    if (flags.format === '') cli.out.write(describe(cli, shown.Client, server));
    else await printVersion(cli, flags.format, shown);
    if (failure !== undefined) throw new ExitError(1, messageOf(failure), { cause: failure });
  },
});

async function clientVersion(cli: Cli): Promise<ClientVersion> {
  return {
    Version: cli.version,
    ApiVersion: clientApiVersion,
    DefaultAPIVersion: clientApiVersion,
    GitCommit: '',
    GoVersion: '',
    Os: process.platform,
    Arch: architectures[process.arch] ?? process.arch,
    BuildTime: '',
    Context: await currentContext(cli),
  };
}

/** The order in which clients have always shown these. */
function wireOrder(server: SystemVersion): SystemVersion {
  return {
    Platform: server.Platform,
    Components: (server.Components ?? []).map(readableDate),
    Version: server.Version,
    ApiVersion: server.ApiVersion,
    MinAPIVersion: server.MinAPIVersion,
    GitCommit: server.GitCommit,
    GoVersion: server.GoVersion,
    Os: server.Os,
    Arch: server.Arch,
    KernelVersion: server.KernelVersion,
    ...(server.Experimental === true ? { Experimental: true } : {}),
    ...(server.BuildTime === undefined ? {} : { BuildTime: server.BuildTime }),
  };
}

function readableDate(component: VersionComponent): VersionComponent {
  const built = component.Details?.BuildTime;
  return built === undefined ? component : { ...component, Details: { ...component.Details, BuildTime: reformatDate(built) } };
}

async function printVersion(cli: Cli, format: string, shown: { Client: ClientVersion; Server: SystemVersion | null }): Promise<void> {
  const [{ printTemplate }, { structOf }] = await Promise.all([
    import('../../output/template-output.ts'),
    import('../../template/struct-of.ts'),
  ]);
  const value = structOf('system.versionInfo', {
    Client: structOf('system.clientVersion', { Platform: null, ...shown.Client }, ['Platform']),
    Server:
      shown.Server === null
        ? null
        : structOf('*types.Version', { ...shown.Server, ...optionalFields(shown.Server) }, ['Experimental', 'BuildTime']),
    ServerOK: () => shown.Server !== null,
  });
  await printTemplate(cli, 'version', format, value);
}

const optionalFields = ({ Experimental, BuildTime }: SystemVersion): object => ({
  ...(Experimental === undefined ? { Experimental: false } : {}),
  ...(BuildTime === undefined ? { BuildTime: '' } : {}),
});

const line = (indent: string, label: string, value: string): string => `${indent}${`${label}:`.padEnd(20 - indent.length)}${value}\n`;

function describe(cli: Cli, client: ClientVersion, server: SystemVersion | undefined): string {
  const api =
    client.ApiVersion === client.DefaultAPIVersion
      ? client.ApiVersion
      : `${client.ApiVersion} (downgraded from ${client.DefaultAPIVersion})`;
  let out = `Client:${cli.name === 'berth' ? ' Berth' : ''}\n${line(' ', 'Version', client.Version)}${line(' ', 'API version', api)}`;
  out +=
    line(' ', 'Bun version', process.versions.bun ?? '') +
    line(' ', 'OS/Arch', `${client.Os}/${client.Arch}`) +
    line(' ', 'Context', client.Context);
  return server === undefined ? out : out + describeServer(server);
}

function describeServer(server: SystemVersion): string {
  const name = server.Platform?.Name ?? '';
  let out = `\nServer:${name === '' ? '' : ` ${name}`}\n`;
  for (const component of componentsOf(server)) {
    const details = component.Details ?? {};
    out += ` ${component.Name}:\n${line('  ', 'Version', component.Version)}`;
    if (component.Name !== 'Engine') {
      out += Object.keys(details)
        .toSorted()
        .map(key => line('  ', key, details[key] ?? ''))
        .join('');
      continue;
    }
    out += line('  ', 'API version', `${details.ApiVersion ?? ''} (minimum version ${details.MinAPIVersion ?? ''})`);
    if ((details.GoVersion ?? '') !== '') out += line('  ', 'Go version', details.GoVersion ?? '');
    if ((details.GitCommit ?? '') !== '') out += line('  ', 'Git commit', details.GitCommit ?? '');
    if ((details.BuildTime ?? '') !== '') out += line('  ', 'Built', reformatDate(details.BuildTime ?? ''));
    out += line('  ', 'OS/Arch', `${details.Os ?? ''}/${details.Arch ?? ''}`);
    out += line('  ', 'Experimental', details.Experimental ?? 'false');
  }
  return out;
}

/** A daemon that does not list its parts is one part. */
function componentsOf(server: SystemVersion): SystemVersion['Components'] {
  if ((server.Components ?? []).length > 0) return server.Components;
  const { ApiVersion, MinAPIVersion, GitCommit, GoVersion, Os, Arch, BuildTime, Experimental } = server;
  const Details = {
    ApiVersion,
    MinAPIVersion,
    GitCommit,
    GoVersion,
    Os,
    Arch,
    BuildTime: BuildTime ?? '',
    Experimental: String(Experimental === true),
  };
  return [{ Name: 'Engine', Version: server.Version, Details }];
}

/** `Fri May 30 12:07:14 2025`, when the daemon tells the moment in RFC 3339. */
function reformatDate(text: string): string {
  const date = new Date(text);
  if (!/^\d{4}-\d\d-\d\dT/.test(text) || Number.isNaN(date.getTime())) return text;
  const [weekday, day, month, year, time] = date.toUTCString().replace(',', '').split(' ');
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time} ${year}`;
}

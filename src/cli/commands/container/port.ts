import { defineCommand, rangeArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';

const joinHostPort = (host: string, port: string): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

export const command = defineCommand({
  usage: 'CONTAINER [PRIVATE_PORT[/PROTO]]',
  names: ['container port', 'port'],
  short: 'Show the published ports of a container',
  args: rangeArgs(1, 2),
  flags: {},
  async run(cli, { args }) {
    const [id = '', wanted] = args;
    const { containers } = await cli.client();
    const { NetworkSettings } = await containers.inspect(id);
    const ports = NetworkSettings.Ports ?? {};
    if (wanted === undefined) {
      const lines = Object.entries(ports).flatMap(([port, bindings]) =>
        (bindings ?? []).map(({ HostIp = '', HostPort = '' }) => ({ port, text: `${port} -> ${joinHostPort(HostIp, HostPort)}` })),
      );
      for (const { text } of lines.toSorted((a, b) => Number.parseInt(a.port, 10) - Number.parseInt(b.port, 10))) cli.out.line(text);
      return;
    }
    const [number = '', protocol = 'tcp'] = wanted.split('/');
    if (!/^\d+$/.test(number) || Number(number) > 65535)
      throw new ExitError(1, `Error: invalid port (${number}): value must be an integer from 0 to 65535`);
    const bindings = ports[`${number}/${protocol}`];
    if (bindings === undefined || bindings === null || bindings.length === 0) {
      throw new ExitError(1, `Error: No public port '${wanted}' published for ${id}`);
    }
    for (const { HostIp = '', HostPort = '' } of bindings) cli.out.line(joinHostPort(HostIp, HostPort));
  },
});

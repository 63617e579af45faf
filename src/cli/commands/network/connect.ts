import type { EndpointSettings } from '#api/types/network.ts';
import { defineCommand, exactArgs } from '../../command.ts';
import { checkLink } from '../../container-options/checks.ts';
import { toRecord } from '../../container-options/key-values.ts';
import { ExitError } from '../../errors.ts';
import { csvList, flagOf, int, list, text } from '../../flags/flag.ts';
import { isIPv4, isIPv6 } from '../../container-options/addresses.ts';

export const command = defineCommand({
  usage: '[OPTIONS] NETWORK CONTAINER',
  names: ['network connect'],
  short: 'Connect a container to a network',
  args: exactArgs(2),
  flags: {
    alias: csvList('Further name of the container on the network'),
    'driver-opt': csvList('Options of the network driver'),
    'gw-priority': int('Which network has the default gateway: the highest, positive or negative'),
    ip: text('IPv4 address on the network (172.30.100.104)'),
    ip6: text('IPv6 address on the network (2001:db8::33)'),
    link: flagOf(
      { hint: 'list', initial: [] as readonly string[], parse: (value, current) => [...current, checkLink(value)] },
      'Add a link to another container',
    ),
    'link-local-ip': list('Link-local address of the container'),
  },
  async run(cli, { flags, args }) {
    const [network = '', container = ''] = args;
    if (flags.ip !== '' && !isIPv4(flags.ip)) throw new ExitError(1, `invalid IPv4 address: ${flags.ip}`);
    if (flags.ip6 !== '' && !isIPv6(flags.ip6)) throw new ExitError(1, `invalid IPv6 address: ${flags.ip6}`);
    for (const option of flags['driver-opt']) {
      if (!option.includes('=')) throw new ExitError(1, `invalid key/value pair format in driver options: ${JSON.stringify(option)}`);
    }
    const endpoint: EndpointSettings = {
      IPAMConfig: { IPv4Address: flags.ip, IPv6Address: flags.ip6, LinkLocalIPs: [...flags['link-local-ip']] },
      Links: flags.link.length === 0 ? null : [...flags.link],
      Aliases: [...flags.alias],
      ...(flags['driver-opt'].length === 0 ? {} : { DriverOpts: toRecord(flags['driver-opt']) }),
      ...(flags['gw-priority'] === 0 ? {} : { GwPriority: flags['gw-priority'] }),
    };
    const { networks } = await cli.client();
    await networks.connect(network, container, endpoint);
  },
});

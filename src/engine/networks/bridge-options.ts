import { invalidArgument } from '#base/errors.ts';
import { formatIp, parseIp } from '#base/ip.ts';
import type { BridgeSettings, GatewayMode } from './model.ts';
import { choice, flag, interfaceName, mtuOf, optionName, type Options } from './option-values.ts';

const gatewayModes: readonly GatewayMode[] = ['nat', 'nat-unprotected', 'routed', 'isolated'];

/** Reads the options of a bridge network; `defaults` fills what they leave open. Rejects with InvalidArgument. */
export function readBridgeOptions(options: Options, defaults: BridgeSettings, internal: boolean): BridgeSettings {
  const mtu = mtuOf(options);
  const modes = {
    4: choice(options, optionName.gatewayModeIpv4, gatewayModes, defaults.gatewayModes[4]),
    6: choice(options, optionName.gatewayModeIpv6, gatewayModes, defaults.gatewayModes[6]),
  };
  if (!internal && Object.values(modes).includes('isolated')) {
    throw invalidArgument("gateway mode 'isolated' can only be used for an internal network: add --internal, or choose nat or routed");
  }
  return {
    name: interfaceName(optionName.bridgeName, options[optionName.bridgeName] ?? defaults.name),
    mac: defaults.mac,
    mtu: mtu ?? defaults.mtu,
    mtuFollows: mtu === undefined && defaults.mtuFollows,
    masquerade: flag(options, optionName.masquerade, defaults.masquerade),
    icc: flag(options, optionName.icc, defaults.icc),
    hostBindingIpv4: hostBinding(options[optionName.hostBinding]) ?? defaults.hostBindingIpv4,
    gatewayModes: modes,
    inhibitIpv4: flag(options, optionName.inhibitIpv4, defaults.inhibitIpv4),
    trustedInterfaces: (options[optionName.trustedInterfaces] ?? '')
      .split(':')
      .filter(name => name !== '')
      .map(name => interfaceName(optionName.trustedInterfaces, name)),
    hostAddresses: {
      4: addressOf(options, optionName.hostIpv4, 4),
      6: addressOf(options, optionName.hostIpv6, 6),
    },
  };
}

function hostBinding(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return text;
  const address = parseIp(text);
  if (address?.family === 4) return formatIp(address);
  throw invalidArgument(`invalid ${optionName.hostBinding} "${text}": want an IPv4 address of this host, or 0.0.0.0`);
}

function addressOf(options: Options, option: string, family: 4 | 6): string {
  const text = options[option] ?? '';
  if (text === '') return '';
  const address = parseIp(text);
  if (address?.family === family) return formatIp(address);
  throw invalidArgument(`invalid ${option} "${text}": want an IPv${String(family)} address of this host`);
}

import { invalidArgument } from '#base/errors.ts';
import type { BridgeSettings } from './model.ts';

/** Options of the bridge driver, by the names that clients use. */
export const optionName = {
  bridgeName: 'com.docker.network.bridge.name',
  defaultBridge: 'com.docker.network.bridge.default_bridge',
  masquerade: 'com.docker.network.bridge.enable_ip_masquerade',
  icc: 'com.docker.network.bridge.enable_icc',
  hostBinding: 'com.docker.network.bridge.host_binding_ipv4',
  gatewayMode: 'com.docker.network.bridge.gateway_mode_ipv4',
  mtu: 'com.docker.network.driver.mtu',
  interfaceName: 'com.docker.network.endpoint.ifname',
} as const;

const longestInterfaceName = 15;

/** Reads the options of a new bridge network; `defaults` fills what they leave open. Rejects with InvalidArgument. */
export function readBridgeOptions(options: Readonly<Record<string, string>>, defaults: BridgeSettings): BridgeSettings {
  return {
    name: interfaceName(optionName.bridgeName, options[optionName.bridgeName] ?? defaults.name),
    mac: defaults.mac,
    mtu: mtuOf(options[optionName.mtu], defaults.mtu),
    masquerade: flag(optionName.masquerade, options[optionName.masquerade], defaults.masquerade),
    icc: flag(optionName.icc, options[optionName.icc], defaults.icc),
    hostBindingIpv4: options[optionName.hostBinding] ?? defaults.hostBindingIpv4,
    gatewayMode: gatewayMode(options[optionName.gatewayMode], defaults.gatewayMode),
  };
}

/** Linux refuses these as interface names, and so do we, before anything is made. */
export function interfaceName(option: string, name: string): string {
  if (
    name !== '' &&
    name !== '.' &&
    name !== '..' &&
    new TextEncoder().encode(name).length <= longestInterfaceName &&
    !/[\s/:]/.test(name)
  ) {
    return name;
  }
  throw invalidArgument(
    `invalid ${option} "${name}": an interface name has 1 to ${String(longestInterfaceName)} characters and no space, "/" or ":"`,
  );
}

function flag(option: string, text: string | undefined, fallback: boolean): boolean {
  if (text === undefined || text === '') return fallback;
  if (/^(1|t|true)$/i.test(text)) return true;
  if (/^(0|f|false)$/i.test(text)) return false;
  throw invalidArgument(`invalid value "${text}" for ${option}: want true or false`);
}

function mtuOf(text: string | undefined, fallback: number): number {
  if (text === undefined || text === '') return fallback;
  const mtu = Number(text);
  if (!/^\d+$/.test(text) || mtu < 68 || mtu > 65_535)
    throw invalidArgument(`invalid ${optionName.mtu} "${text}": want a number from 68 to 65535`);
  return mtu;
}

function gatewayMode(text: string | undefined, fallback: BridgeSettings['gatewayMode']): BridgeSettings['gatewayMode'] {
  switch (text) {
    case undefined:
    case '':
      return fallback;
    case 'nat':
    case 'nat-unprotected':
    case 'isolated':
      return text;
    default:
      throw invalidArgument(`invalid value "${text}" for ${optionName.gatewayMode}: want nat, nat-unprotected or isolated`);
  }
}

import { invalidArgument } from '#base/errors.ts';

/** Options of networks and endpoints, by the names that clients use. */
export const optionName = {
  bridgeName: 'com.docker.network.bridge.name',
  defaultBridge: 'com.docker.network.bridge.default_bridge',
  masquerade: 'com.docker.network.bridge.enable_ip_masquerade',
  icc: 'com.docker.network.bridge.enable_icc',
  hostBinding: 'com.docker.network.bridge.host_binding_ipv4',
  gatewayModeIpv4: 'com.docker.network.bridge.gateway_mode_ipv4',
  gatewayModeIpv6: 'com.docker.network.bridge.gateway_mode_ipv6',
  inhibitIpv4: 'com.docker.network.bridge.inhibit_ipv4',
  trustedInterfaces: 'com.docker.network.bridge.trusted_host_interfaces',
  hostIpv4: 'com.docker.network.host_ipv4',
  hostIpv6: 'com.docker.network.host_ipv6',
  enableIpv4: 'com.docker.network.enable_ipv4',
  enableIpv6: 'com.docker.network.enable_ipv6',
  mtu: 'com.docker.network.driver.mtu',
  interfacePrefix: 'com.docker.network.container_iface_prefix',
  parent: 'parent',
  macvlanMode: 'macvlan_mode',
  ipvlanMode: 'ipvlan_mode',
  ipvlanFlag: 'ipvlan_flag',
  vxlanIds: 'com.docker.network.driver.overlay.vxlanid_list',
  overlayPeers: 'com.docker.network.driver.overlay.peers',
  overlayLocal: 'com.docker.network.driver.overlay.local',
  overlayPort: 'com.docker.network.driver.overlay.port',
  encrypted: 'encrypted',
  overlayKeyFile: 'com.docker.network.driver.overlay.keyfile',
  interfaceName: 'com.docker.network.endpoint.ifname',
  sysctls: 'com.docker.network.endpoint.sysctls',
} as const;

export type Options = Readonly<Record<string, string>>;

const longestInterfaceName = 15;
const smallestMtu = 68;
const largestMtu = 65_535;

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

/** An empty text is `true`, as in `-o internal=`, only where the option has no other meaning; here it is the fallback. */
export function flag(options: Options, option: string, fallback: boolean): boolean {
  const text = options[option];
  if (text === undefined || text === '') return fallback;
  if (/^(1|t|true)$/i.test(text)) return true;
  if (/^(0|f|false)$/i.test(text)) return false;
  throw invalidArgument(`invalid value "${text}" for ${option}: want true or false`);
}

/** Undefined when not given. */
export function mtuOf(options: Options): number | undefined {
  const text = options[optionName.mtu];
  if (text === undefined || text === '') return undefined;
  const mtu = Number(text);
  if (!/^\d+$/.test(text) || mtu < smallestMtu || mtu > largestMtu) {
    throw invalidArgument(`invalid ${optionName.mtu} "${text}": want a number from ${String(smallestMtu)} to ${String(largestMtu)}`);
  }
  return mtu;
}

/** One of these words. */
export function choice<T extends string>(options: Options, option: string, words: readonly T[], fallback: T): T {
  const text = options[option];
  if (text === undefined || text === '') return fallback;
  const found = words.find(word => word === text);
  if (found !== undefined) return found;
  throw invalidArgument(`invalid value "${text}" for ${option}: want ${words.slice(0, -1).join(', ')} or ${String(words.at(-1))}`);
}

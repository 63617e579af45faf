import { invalidArgument } from '#base/errors.ts';
import { formatIp, parseIp } from '#base/ip.ts';
import type { OverlaySettings } from './model.ts';
import { flag, optionName, type Options } from './option-values.ts';

/** Assigned to VXLAN by IANA. */
const defaultPort = 4789;
/**
 * Each encrypted network has a port of its own, by which the kernel knows what to encrypt; nobody sees it between hosts. These are neither registered for much nor
 * given to programs that ask for any port.
 */
const firstPrivatePort = 20_480;
const privatePorts = 8192;
/** Below are numbers that are often in use on physical networks. */
const firstVni = 4096;
const largestVni = 0xff_ff_ff;

/**
 * Reads the options of an overlay network. Networks of one name, or with one `vxlanid_list`, on hosts that know each other as peers are one network.
 * Rejects with InvalidArgument.
 */
export function readOverlayOptions(network: { readonly id: string; readonly name: string; readonly options: Options }): OverlaySettings {
  const { options } = network;
  // As with Docker the option is often without a value.
  const isEncrypted = options[optionName.encrypted] !== undefined && flag(options, optionName.encrypted, true);
  const keyFile = options[optionName.overlayKeyFile] ?? '';
  if (keyFile !== '' && (!isEncrypted || !keyFile.startsWith('/')))
    throw invalidArgument(`invalid ${optionName.overlayKeyFile} "${keyFile}": want the whole path of a file, and the option "encrypted"`);
  const [local] = addresses(options, optionName.overlayLocal);
  const peers = addresses(options, optionName.overlayPeers);
  const all = local === undefined ? peers : [...peers, local];
  if (new Set(all.map(address => address.includes(':'))).size > 1)
    throw invalidArgument(
      `invalid ${optionName.overlayPeers} "${all.join(',')}": want addresses of IPv4 or of IPv6, a tunnel has one of them`,
    );
  const vni = vniOf(options[optionName.vxlanIds], network.name);
  return {
    link: `vx-${network.id.slice(0, 12)}`,
    vni,
    port: portOf(options[optionName.overlayPort], isEncrypted ? firstPrivatePort + (vni % privatePorts) : defaultPort),
    peers,
    local,
    ...(isEncrypted ? { encryption: { keyFile } } : {}),
  };
}

function vniOf(text: string | undefined, name: string): number {
  if (text === undefined || text === '') {
    const digest = new Bun.CryptoHasher('sha256').update(name).digest();
    return firstVni + (digest.readUInt32BE(0) % (largestVni - firstVni + 1));
  }
  const vni = Number(text);
  if (/^\d+$/.test(text) && vni >= 1 && vni <= largestVni) return vni;
  throw invalidArgument(
    `invalid ${optionName.vxlanIds} "${text}": want one number from 1 to ${String(largestVni)}, the network has one subnet range`,
  );
}

function portOf(text: string | undefined, otherwise: number): number {
  if (text === undefined || text === '') return otherwise;
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1024 && port <= 49_151) return port;
  throw invalidArgument(`invalid ${optionName.overlayPort} "${text}": want a UDP port from 1024 to 49151`);
}

function addresses(options: Options, option: string): string[] {
  const texts = (options[option] ?? '').split(',').filter(text => text.trim() !== '');
  return texts.map(text => {
    const address = parseIp(text.trim());
    if (address === undefined) throw invalidArgument(`invalid ${option} "${text}": want IP addresses of hosts, separated by commas`);
    return formatIp(address);
  });
}

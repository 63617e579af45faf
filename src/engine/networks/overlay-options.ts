import { invalidArgument, notImplemented } from '#base/errors.ts';
import { formatIp, parseIp } from '#base/ip.ts';
import type { OverlaySettings } from './model.ts';
import { optionName, type Options } from './option-values.ts';

/** Assigned to VXLAN by IANA. */
const defaultPort = 4789;
/** Below are numbers that are often in use on physical networks. */
const firstVni = 4096;
const largestVni = 0xff_ff_ff;

/**
 * Reads the options of an overlay network. Networks of one name, or with one `vxlanid_list`, on hosts that know each other as peers are one network.
 * Rejects with InvalidArgument.
 */
export function readOverlayOptions(network: { readonly id: string; readonly name: string; readonly options: Options }): OverlaySettings {
  const { options } = network;
  if (options[optionName.encrypted] !== undefined && options[optionName.encrypted] !== 'false') {
    throw notImplemented(
      'an encrypted overlay network needs keys that its hosts share, which only a cluster gives them: leave out the option "encrypted"',
    );
  }
  const [local] = addresses(options, optionName.overlayLocal);
  return {
    link: `vx-${network.id.slice(0, 12)}`,
    vni: vniOf(options[optionName.vxlanIds], network.name),
    port: portOf(options[optionName.overlayPort]),
    peers: addresses(options, optionName.overlayPeers),
    local,
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

function portOf(text: string | undefined): number {
  if (text === undefined || text === '') return defaultPort;
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

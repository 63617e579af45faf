import { formatIp, ipBytes, ipFromBytes, parseIp } from '#base/ip.ts';
import type { TunnelPeers } from '#core/network-driver.ts';
import type { NetlinkSocket } from '#host/sys/netlink.ts';
import { attribute, concat, parseAttributes } from './attributes.ts';
import { macBytes, macText } from './link.ts';
import { flags, messageType } from './rtnetlink.ts';

const AF_BRIDGE = 7;
const NUD_PERMANENT = 0x80;
const NTF_SELF = 0x02;
const NDA_DST = 1;
const NDA_LLADDR = 2;
/** What is for everybody, and for whomever nobody has heard of. */
const anyMac = '00:00:00:00:00:00';

interface Entry {
  readonly mac: string;
  readonly host: string;
}

/** ndmsg. */
function neighbourHeader(link: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, AF_BRIDGE);
  view.setInt32(4, link, true);
  view.setUint16(8, NUD_PERMANENT, true);
  view.setUint8(10, NTF_SELF);
  return bytes;
}

/** Makes the permanent entries of a tunnel's forwarding table exactly these. */
export function putPeers(socket: NetlinkSocket, link: number, { hosts, interfaces }: TunnelPeers): void {
  const wanted: Entry[] = [...hosts.map(host => ({ mac: anyMac, host })), ...interfaces];
  const present = listEntries(socket, link);
  const key = ({ mac, host }: Entry): string => `${mac} ${host}`;
  const [wantedKeys, presentKeys] = [new Set(wanted.map(key)), new Set(present.map(key))];
  for (const entry of present) {
    if (!wantedKeys.has(key(entry))) request(socket, link, entry, messageType.deleteNeighbour, flags.change, 'forget a host');
  }
  for (const entry of wanted) {
    if (presentKeys.has(key(entry))) continue;
    const how = entry.mac === anyMac ? flags.append : flags.put;
    request(socket, link, entry, messageType.newNeighbour, how, `add the host ${entry.host}`);
  }
}

function request(socket: NetlinkSocket, link: number, { mac, host }: Entry, type: number, how: number, what: string): void {
  const address = parseIp(host);
  if (address === undefined) throw new Error(`not the address of a host: ${host}`);
  const payload = concat(neighbourHeader(link), attribute(NDA_LLADDR, macBytes(mac)), attribute(NDA_DST, ipBytes(address)));
  socket.request({ type, flags: how, payload }, what);
}

function listEntries(socket: NetlinkSocket, link: number): Entry[] {
  const payload = new Uint8Array(12);
  const header = new DataView(payload.buffer);
  header.setUint8(0, AF_BRIDGE);
  header.setInt32(4, link, true);
  const answers = socket.request({ type: messageType.getNeighbour, flags: flags.dump, payload }, 'list hosts of a tunnel');
  return answers.flatMap(answer => {
    const view = new DataView(answer.buffer, answer.byteOffset, answer.length);
    const found = parseAttributes(answer.subarray(12));
    const [host, mac] = [found.get(NDA_DST), found.get(NDA_LLADDR)];
    if (view.getInt32(4, true) !== link || (view.getUint16(8, true) & NUD_PERMANENT) === 0 || host === undefined || mac === undefined)
      return [];
    return [{ mac: macText(mac), host: formatIp(ipFromBytes(host)) }];
  });
}

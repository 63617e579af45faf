import { invalidArgument } from '#base/errors.ts';
import type { TunnelPeers } from '#core/network-driver.ts';
import type { Context } from './context.ts';
import type { Network, OverlaySettings } from './model.ts';
import { optionName } from './option-values.ts';

/** Numbers, first block, padding and check value of ESP with AES-CBC and HMAC-SHA-256 (RFC 4303, 2). */
const encryptionBytes = 8 + 16 + 17 + 16;

/** Outer Ethernet and IP, UDP, VXLAN and the inner Ethernet header (RFC 7348, 5): what a frame of the network is longer on its way. */
export const tunnelBytes = ({ peers, encryption }: OverlaySettings): number =>
  (peers.some(peer => peer.includes(':')) ? 70 : 50) + (encryption === undefined ? 0 : encryptionBytes);

/** Every link that carries IPv6 carries packets of this size (RFC 8200, 5). */
export const smallestMtu = 1280;

/** The hosts that the user named and those that the store knows. */
export function peersOf(ctx: Context, { id, name, overlay }: Network): TunnelPeers {
  if (overlay === undefined) return { hosts: [], interfaces: [] };
  const known = ctx.overlayPeers?.peersOf({ id, name, vni: overlay.vni }) ?? { hosts: [], interfaces: [] };
  return { hosts: [...new Set([...overlay.peers, ...known.hosts])], interfaces: known.interfaces };
}

/** Makes the kernel encrypt what leaves a network, if that is asked. True when something was missing. Rejects as the file of keys is refused. */
export function putEncryption(ctx: Context, network: Network): boolean {
  const { id, name, overlay } = network;
  if (overlay?.encryption === undefined) return false;
  const { vni, port, local, encryption } = overlay;
  const keys = encryption.keyFile === '' ? (ctx.overlayPeers?.keysOf({ id, name, vni }) ?? []) : ctx.keyFiles.read(encryption.keyFile);
  return ctx.driver.putEncryption({ vni, port, local, hosts: peersOf(ctx, network).hosts, keys });
}

/** Rejects with NotImplemented when the kernel cannot do it, with InvalidArgument without keys. */
export function checkEncryption(ctx: Context, { encryption }: OverlaySettings): void {
  if (encryption === undefined) return;
  if (encryption.keyFile !== '') ctx.keyFiles.read(encryption.keyFile);
  else if (ctx.overlayPeers === undefined) {
    throw invalidArgument(
      `an encrypted overlay network needs keys that its hosts share: name a file with them, -o ${optionName.overlayKeyFile}=/path, with a line of 64 hexadecimal digits`,
    );
  }
  ctx.driver.checkEncryption();
}

/** Keys that have changed, ways to other hosts that have changed, and what somebody else has removed. Returns in words what was missing. */
export function renewEncryption(ctx: Context, concerns: (network: Network) => boolean = () => true): string[] {
  const repaired: string[] = [];
  for (const network of ctx.networks.list()) {
    if (network.overlay?.encryption === undefined || !concerns(network)) continue;
    try {
      if (putEncryption(ctx, network)) repaired.push(`encryption of network ${network.name}`);
    } catch (err) {
      ctx.log.error('the encryption of an overlay network could not be brought up to date: the old keys hold', {
        network: network.name,
        error: err,
      });
    }
  }
  return repaired;
}

export function followKeys(ctx: Context): Disposable {
  return ctx.keyFiles.watch(path => {
    renewEncryption(ctx, ({ overlay }) => overlay?.encryption?.keyFile === path);
    ctx.log.info('keys of overlay networks were read again', { path });
  });
}

/** Tells the kernel about other hosts as they come and go. */
export function followPeers(ctx: Context): Disposable | undefined {
  return ctx.overlayPeers?.watch(id => {
    const network = ctx.networks.byId(id);
    if (network?.overlay === undefined) return;
    try {
      putEncryption(ctx, network);
      ctx.driver.putTunnelPeers(network.overlay.link, peersOf(ctx, network));
    } catch (err) {
      ctx.log.error('the hosts of an overlay network could not be told to the kernel', { network: network.name, error: err });
    }
  });
}

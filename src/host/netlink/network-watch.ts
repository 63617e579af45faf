import type { Logger } from '#base/log.ts';
import type { NetworkChange, NetworkWatch } from '#core/network-watch.ts';
import { messagesIn, NetlinkSocket, netlinkFamily, openNetlinkGroups } from '#host/sys/netlink.ts';
import { parseAttributes, textOf, u32Of } from './attributes.ts';
import { listLinks, parseLink } from './link.ts';
import { messageType } from './rtnetlink.ts';

/** Groups of rtnetlink(7): links, IPv4 addresses and routes, IPv6 addresses and routes. */
const routeGroups = [1, 5, 7, 9, 11];
/** All changes of nftables. */
const nftablesGroup = 7;
/** Keys and policies (linux/xfrm.h), and what says that they are gone: one of each, or all. */
const encryptionGroups = [3, 4];
const removals: ReadonlySet<number> = new Set([0x11, 0x14, 0x1c, 0x1d]);
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_NEWGEN = 15;
const NFTA_TABLE = 1;
const NFTA_GEN_PROC_PID = 2;
const nfgenBytes = 4;

/** Listens to what the kernel tells everybody about links, addresses, routes and packet rules of this network namespace. */
export function createNetworkWatch(log: Logger): NetworkWatch {
  return {
    watchEncryption: changed =>
      openNetlinkGroups(
        netlinkFamily.xfrm,
        encryptionGroups,
        bytes => {
          if (messagesIn(bytes).some(({ type }) => removals.has(type))) changed({ kind: 'encryption' });
        },
        failed,
      ),
    watch(changed) {
      const ends = new DisposableStack();
      const rules = new RuleChanges(changed);
      ends.use(openNetlinkGroups(netlinkFamily.route, routeGroups, bytes => routeChanges(bytes).forEach(changed), failed));
      ends.use(openNetlinkGroups(netlinkFamily.netfilter, [nftablesGroup], bytes => rules.read(bytes), failed));
      return ends;
    },
  };
  function failed(err: unknown): void {
    log.warn('changes of the network by others are not heard of any more', { error: err });
  }
}

function routeChanges(bytes: Uint8Array): NetworkChange[] {
  return messagesIn(bytes).flatMap(({ type, payload }): NetworkChange[] => {
    switch (type) {
      case messageType.newLink:
      case messageType.deleteLink:
        return [{ kind: 'link', name: parseLink(payload).name }];
      case messageType.deleteAddress: {
        const index = u32Of(payload.subarray(4, 8));
        using socket = new NetlinkSocket(netlinkFamily.route);
        return listLinks(socket).flatMap(link => (link.index === index ? [{ kind: 'link', name: link.name }] : []));
      }
      case messageType.newRoute:
      case messageType.deleteRoute:
        // rtmsg: the length of the destination is the second byte.
        return payload[1] === 0 ? [{ kind: 'route' }] : [];
      default:
        return [];
    }
  });
}

/** The end of a transaction says which process made it; what it changed comes before. */
class RuleChanges {
  readonly #changed: (change: NetworkChange) => void;
  #tables = new Set<string>();

  constructor(changed: (change: NetworkChange) => void) {
    this.#changed = changed;
  }

  read(bytes: Uint8Array): void {
    for (const { type, payload } of messagesIn(bytes)) {
      if (type >> 8 !== NFNL_SUBSYS_NFTABLES) continue;
      const found = parseAttributes(payload.subarray(nfgenBytes));
      if ((type & 0xff) !== NFT_MSG_NEWGEN) {
        this.#tables.add(textOf(found.get(NFTA_TABLE)));
        continue;
      }
      const pid = found.get(NFTA_GEN_PROC_PID) ?? new Uint8Array(4);
      const tables = [...this.#tables];
      this.#tables = new Set();
      // Network byte order.
      const isOwn = new DataView(pid.buffer, pid.byteOffset, pid.length).getUint32(0) === process.pid;
      if (!isOwn && tables.length > 0) this.#changed({ kind: 'rules', tables });
    }
  }
}

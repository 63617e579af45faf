import type { Nftables } from '#host/sys/nftables.ts';

interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly policy?: string;
}

/**
 * Chains of others that drop forwarded packets unless a rule of theirs says otherwise, and have none about this bridge. A drop is final whatever
 * our own rules say, so only the operator can help; the words say how. iptables in its legacy form cannot be seen from here.
 */
export function findObstacles(nftables: Nftables, ownTable: string, bridge: string): string[] {
  const chains = itemsOf(nftables.list('list chains')).flatMap(({ chain }) => (chain === undefined ? [] : [chain as Chain]));
  return chains
    .filter(({ table, hook, policy }) => table !== ownTable && hook === 'forward' && policy === 'drop')
    .filter(({ family, table }) => !isAccepted(nftables, `${family} ${table}`, bridge))
    .map(chain => {
      const siblings = chains.filter(({ family, table }) => family === chain.family && table === chain.table);
      return describe(chain, siblings, bridge);
    });
}

function isAccepted(nftables: Nftables, table: string, bridge: string): boolean {
  const rules = itemsOf(nftables.list(`list table ${table}`)).flatMap(({ rule }) => (rule === undefined ? [] : [JSON.stringify(rule)]));
  return rules.some(rule => rule.includes('"accept"') && mentions(rule, bridge));
}

function describe({ family, table, name }: Chain, siblings: readonly Chain[], bridge: string): string {
  const program = family === 'ip' ? 'iptables' : family === 'ip6' ? 'ip6tables' : undefined;
  const madeByIptables = program !== undefined && table === 'filter' && name === 'FORWARD';
  // Docker keeps this chain for rules of the operator; what is put into FORWARD itself may be pushed behind its own rules.
  const chain = siblings.some(sibling => sibling.name === 'DOCKER-USER') ? 'DOCKER-USER' : name;
  const allow = (direction: 'i' | 'o'): string =>
    madeByIptables
      ? `${program} -I ${chain} -${direction} ${bridge} -j ACCEPT`
      : `nft insert rule ${family} ${table} ${name} ${direction}ifname ${bridge} accept`;
  return (
    `chain ${name} of table ${family} ${table} drops forwarded packets: containers on ${bridge} do not reach other hosts, which do not reach their ` +
    `published ports; to allow it: ${allow('i')}; ${allow('o')}`
  );
}

/** By its name, or by a beginning of it with a wildcard. */
function mentions(rule: string, bridge: string): boolean {
  const names = [...rule.matchAll(/"key":"[io]ifname"\}\},"right":"([^"]*)"/g)].map(([, name = '']) => name);
  return names.some(name => name === bridge || (name.endsWith('*') && bridge.startsWith(name.slice(0, -1))));
}

function itemsOf(listed: unknown): readonly Readonly<Record<string, unknown>>[] {
  return typeof listed === 'object' && listed !== null && 'nftables' in listed && Array.isArray(listed.nftables) ? listed.nftables : [];
}

import { messageOf } from '#base/errors.ts';
import type { Nftables } from '#host/sys/nftables.ts';

interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly policy?: string;
}

interface Rule {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly handle: number;
  readonly comment?: string;
  readonly expr?: readonly Readonly<Record<string, unknown>>[];
}

/** A chain of others that ends forwarded packets which none of its rules accepts, and does not let a bridge pass as it should. */
export interface Obstacle {
  readonly chain: Chain;
  /** It ends them by its last rule, not by its policy. */
  readonly byRule: boolean;
  /** Bridges of others that the owner of the chain decides about: what goes there is left to its policy. */
  readonly closedTo: readonly string[];
  /** Rules of ours that are not as they should be any more. */
  readonly outdated: readonly Rule[];
  readonly siblings: readonly Chain[];
}

/** Tables of this daemon and of others like it drop only what concerns their own bridges. */
export const isSibling = (table: string): boolean => /^berth(_|$)/.test(table);

/**
 * `mark`: how rules of ours are known; `othersBridges`: bridges of the host that are not ours. iptables in its legacy form cannot be seen from here.
 */
export function findObstacles(nftables: Nftables, bridge: string, mark: string, othersBridges: readonly string[] = []): Obstacle[] {
  const chains = listChains(nftables);
  return chains
    .filter(({ table, hook }) => hook === 'forward' && !isSibling(table))
    .flatMap(chain => {
      const rules = rulesOf(nftables, `list table ${chain.family} ${chain.table}`);
      const foreign = rules.filter(({ comment = '' }) => !/^berth(_[^:]*)?: /.test(comment));
      const own = rules.filter(({ comment }) => comment === markOf(mark, bridge));
      const last = foreign.findLast(rule => rule.chain === chain.name);
      const byRule = endsAll(last);
      if (chain.policy !== 'drop' && !byRule) return [];
      if (own.length === 0 && foreign.some(rule => accepts(rule, bridge))) return [];
      const closedTo = byRule ? [] : othersBridges.filter(name => foreign.some(rule => isAbout(rule, name)));
      const isLast = own.every(rule => last === undefined || rules.indexOf(rule) > rules.indexOf(last));
      if ((byRule || isLast) && Bun.deepEquals(own.map(ruleWords), wantedRules(bridge, closedTo))) return [];
      const siblings = chains.filter(({ family, table }) => family === chain.family && table === chain.table);
      return [{ chain, byRule, closedTo, outdated: own, siblings }];
    });
}

/** As nft and iptables both write them: a chain of iptables that has others is not shown by it any more. */
const wantedRules = (bridge: string, closedTo: readonly string[]): string[] => [
  ...closedTo.map(other => `iifname "${bridge}" oifname "${other}" counter return`),
  `iifname "${bridge}" counter accept`,
  `oifname "${bridge}" counter accept`,
];

function ruleWords({ expr = [] }: Rule): string {
  const words = expr.flatMap(part => {
    const match = part.match as { left?: { meta?: { key?: string } }; right?: unknown } | undefined;
    return match === undefined ? Object.keys(part) : [`${String(match.left?.meta?.key)} "${String(match.right)}"`];
  });
  return words.join(' ');
}

/** The owner of a chain says what may go out by this interface. */
const isAbout = (rule: Rule, name: string): boolean =>
  rule.expr?.some(({ match }) => {
    const { op, left, right } = (match ?? {}) as { op?: string; left?: { meta?: { key?: string } }; right?: unknown };
    return op === '==' && left?.meta?.key === 'oifname' && right === name;
  }) === true;

/**
 * Lets what containers on a bridge send and get pass such a chain; what must not reach them our own table ends all the same. Behind the rules of
 * a chain that ends packets by its policy, so that what the operator refuses stays refused; before those of others, which refuse within.
 */
export function openChain(nftables: Nftables, { chain, byRule, closedTo, outdated }: Obstacle, bridge: string, mark: string): void {
  const place = `${chain.family} ${chain.table} ${chain.name}`;
  const rules = wantedRules(bridge, closedTo).map(
    words => `${byRule ? 'insert' : 'add'} rule ${place} ${words} comment "${markOf(mark, bridge)}"\n`,
  );
  const removals = outdated.map(rule => `delete rule ${rule.family} ${rule.table} ${rule.chain} handle ${String(rule.handle)}\n`);
  nftables.run([...removals, ...(byRule ? rules.toReversed() : rules)].join(''));
}

/** Takes such rules away again: those of one bridge, or all of this mark but of these bridges. */
export function closeChains(
  nftables: Nftables,
  mark: string,
  which: { readonly bridge: string } | { readonly allBut: readonly string[] },
): number {
  const prefix = markOf(mark, '');
  const kept = 'allBut' in which ? new Set(which.allBut.map(bridge => markOf(mark, bridge))) : undefined;
  const isOver = (comment: string): boolean =>
    'bridge' in which ? comment === markOf(mark, which.bridge) : comment.startsWith(prefix) && kept?.has(comment) !== true;
  const tables = new Set(
    listChains(nftables)
      .filter(({ table, hook }) => hook === 'forward' && !isSibling(table))
      .map(({ family, table }) => `${family} ${table}`),
  );
  const over = [...tables]
    .flatMap(table => rulesOf(nftables, `list table ${table}`))
    .filter(({ comment }) => comment !== undefined && isOver(comment));
  if (over.length > 0) {
    nftables.run(
      over.map(({ family, table, chain, handle }) => `delete rule ${family} ${table} ${chain} handle ${String(handle)}\n`).join(''),
    );
  }
  return over.length;
}

const markOf = (mark: string, bridge: string): string => `${mark}: ${bridge}`;

/** What the operator can do, where nobody else may. */
export function describeObstacle({ chain: { family, table, name }, siblings }: Obstacle, bridge: string): string {
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

/** Unconditionally. */
const endsAll = (rule: Rule | undefined): boolean =>
  rule?.expr?.every(part => 'counter' in part || 'drop' in part || 'reject' in part) === true &&
  rule.expr.some(part => !('counter' in part));

/** By the bridge's name, or by a beginning of it with a wildcard. */
function accepts(rule: Rule, bridge: string): boolean {
  const text = JSON.stringify(rule);
  if (!text.includes('"accept"')) return false;
  const names = [...text.matchAll(/"key":"[io]ifname"\}\},"right":"([^"]*)"/g)].map(([, name = '']) => name);
  return names.some(name => name === bridge || (name.endsWith('*') && bridge.startsWith(name.slice(0, -1))));
}

const listChains = (nftables: Nftables): Chain[] =>
  itemsOf(nftables.list('list chains')).flatMap(({ chain }) => (chain === undefined ? [] : [chain as Chain]));

/** None of a table that has gone meanwhile. */
function rulesOf(nftables: Nftables, command: string): Rule[] {
  try {
    return itemsOf(nftables.list(command)).flatMap(({ rule }) => (rule === undefined ? [] : [rule as Rule]));
  } catch (err) {
    if (messageOf(err).includes('No such file or directory')) return [];
    throw err;
  }
}

function itemsOf(listed: unknown): readonly Readonly<Record<string, unknown>>[] {
  return typeof listed === 'object' && listed !== null && 'nftables' in listed && Array.isArray(listed.nftables) ? listed.nftables : [];
}

import type { Logger } from '#base/log.ts';
import type { BridgeRules, Firewall, FirewallState, LinkRule, PortRule } from '#core/firewall.ts';
import type { Nftables } from '#host/sys/nftables.ts';
import { closeChains, describeObstacle, findObstacles, isSibling, openChain } from './foreign-chains.ts';
import { createRuleset, signatureSet } from './ruleset.ts';
import { comparable, readTable, type TableState } from './table-state.ts';

/** What the table holds is remembered here: changes are differences, and what is gone already is not removed again. */
export function createFirewall(options: {
  readonly table: string;
  readonly nftables: Nftables;
  /** Forgets, now or soon, the flows of connectionless protocols that led through these ports. */
  readonly forgetFlows: (ports: readonly PortRule[]) => void;
  /** The host's own rules decide about published ports, and about what is forwarded for our bridges. */
  readonly hostDecides: boolean;
  readonly log: Logger;
}): Firewall {
  const { nftables, table } = options;
  const ruleset = createRuleset(table, options);
  const ownTables = [table, ruleset.operatorTable];
  /** Bridges for which rules of ours are in chains of others. */
  const opened = new Set<string>();
  const bridges = new Map<string, BridgeRules>();
  const ports = new Map<string, PortRule>();
  const links = new Map<string, LinkRule>();
  let present = false;

  const state = (): FirewallState => ({ bridges: [...bridges.values()], ports: [...ports.values()], links: [...links.values()] });
  /**
   * The first change makes the table, replacing whatever was there by that name. A change that does not fit what is there finds a table that somebody
   * has changed or taken away: then all of it is made right.
   */
  const run = (commands: () => string): void => {
    if (!present) {
      make();
      return;
    }
    try {
      nftables.run(commands());
    } catch {
      const repaired = reconcile();
      if (repaired.length > 0) options.log.warn('repaired what somebody else had changed', { repaired: repaired.join('; ') });
    }
  };
  const make = (): void => {
    nftables.run(ruleset.addOperatorTable + ruleset.whole(state()));
    present = true;
    const made = readTable(nftables, table);
    if (made !== undefined) nftables.run(ruleset.sign(fingerprintOf(made)));
  };

  /** Whoever changes rules or sets by hand changes what they look like. */
  const fingerprintOf = ({ structure }: TableState): string =>
    new Bun.CryptoHasher('sha256').update(ruleset.skeleton).update(structure).digest('hex').slice(0, 12);
  const isSigned = (found: TableState): boolean => found.sets.get(signatureSet)?.elements.has(fingerprintOf(found)) === true;

  /** A table whose rules are right needs only what its sets lack and have too much: no packet notices. */
  const bringInLine = (found: TableState): string[] => {
    const wanted = ruleset.contents(state());
    const [missing, extra] = [new Map<string, string[]>(), new Map<string, string[]>()];
    for (const [set, { elements }] of found.sets) {
      if (set === signatureSet) continue;
      const members = new Map((wanted.get(set) ?? []).map(member => [comparable(member), member]));
      const lacking = [...members].filter(([key]) => !elements.has(key)).map(([, member]) => member);
      const surplus = [...elements].filter(([key]) => !members.has(key)).map(([, { key }]) => key);
      if (lacking.length > 0) missing.set(set, lacking);
      if (surplus.length > 0) extra.set(set, surplus);
    }
    const count = (bySet: ReadonlyMap<string, readonly string[]>): number => [...bySet.values()].reduce((sum, all) => sum + all.length, 0);
    if (count(missing) + count(extra) === 0) return [];
    nftables.run(ruleset.changeElements('delete', extra) + ruleset.changeElements('add', missing));
    return [`packet rules: ${String(count(extra))} for nothing that exists removed, ${String(count(missing))} that were missing added`];
  };

  const reconcile = (): string[] => {
    const found = readTable(nftables, table);
    if (found !== undefined && isSigned(found)) {
      present = true;
      return bringInLine(found);
    }
    const wasPresent = present;
    make();
    if (found !== undefined) return ['the packet rules, which were not as this version makes them'];
    return wasPresent || ports.size > 0 ? ['the packet rules, which were gone'] : [];
  };

  return {
    putBridge(rules) {
      const before = bridges.get(rules.bridge);
      if (present && before !== undefined && sameRules(before, rules)) return;
      bridges.set(rules.bridge, rules);
      try {
        run(() => `${before === undefined ? '' : ruleset.removeBridge(before)}${ruleset.addBridge(rules)}`);
      } catch (err) {
        bridges.delete(rules.bridge);
        throw err;
      }
    },
    removeBridge(bridge) {
      const before = bridges.get(bridge);
      if (before === undefined) return;
      bridges.delete(bridge);
      run(() => ruleset.removeBridge(before));
      if (opened.delete(bridge)) closeChains(nftables, table, { bridge });
    },
    publish(added) {
      const fresh = added.filter(port => !ports.has(keyOf(port)));
      for (const port of fresh) ports.set(keyOf(port), port);
      if (fresh.length === 0) return;
      try {
        run(() => ruleset.addPorts(fresh));
      } catch (err) {
        for (const port of fresh) ports.delete(keyOf(port));
        throw err;
      }
      // A flow that began before the port was published would go on missing it.
      options.forgetFlows(fresh);
    },
    unpublish(removed) {
      const known = removed.filter(port => ports.delete(keyOf(port)));
      if (known.length === 0) return;
      run(() => ruleset.removePorts(known));
      options.forgetFlows(known);
    },
    setLinks(wanted) {
      const next = new Map(wanted.map(link => [linkKeyOf(link), link]));
      const gone = [...links].filter(([key]) => !next.has(key)).map(([, link]) => link);
      const fresh = [...next].filter(([key]) => !links.has(key)).map(([, link]) => link);
      if (gone.length + fresh.length === 0) return;
      links.clear();
      for (const [key, link] of next) links.set(key, link);
      run(() => ruleset.removeLinks(gone) + ruleset.addLinks(fresh));
    },
    reconcile(wanted) {
      bridges.clear();
      ports.clear();
      links.clear();
      for (const rules of wanted.bridges) bridges.set(rules.bridge, rules);
      for (const port of wanted.ports) ports.set(keyOf(port), port);
      for (const link of wanted.links) links.set(linkKeyOf(link), link);
      present = false;
      closeChains(nftables, table, { allBut: options.hostDecides ? [] : [...bridges.keys()] });
      for (const bridge of bridges.keys()) opened.add(bridge);
      return reconcile();
    },
    mend: () => (present ? reconcile() : []),
    openWay(bridge, othersBridges) {
      const found = findObstacles(nftables, bridge, table, othersBridges);
      if (options.hostDecides) return { opened: [], closed: found.map(obstacle => describeObstacle(obstacle, bridge)) };
      for (const obstacle of found) openChain(nftables, obstacle, bridge, table);
      if (found.length > 0) opened.add(bridge);
      return { opened: found.map(({ chain: { family, table: other, name } }) => `chain ${name} of table ${family} ${other}`), closed: [] };
    },
    concerns: tables => ({ own: tables.some(one => ownTables.includes(one)), others: tables.some(one => !isSibling(one)) }),
    remove() {
      bridges.clear();
      ports.clear();
      links.clear();
      present = false;
      nftables.run(ruleset.removeTable);
      closeChains(nftables, table, { allBut: [] });
      opened.clear();
      removeOperatorTable(nftables, ruleset.operatorTable);
    },
  };
}

/** Unless the operator has put rules into it. */
function removeOperatorTable(nftables: Nftables, operatorTable: string): void {
  const found = readTable(nftables, operatorTable);
  if (found !== undefined && !found.hasRules) nftables.run(`delete table inet ${operatorTable}\n`);
}

const keyOf = ({ protocol, hostAddress, hostPort, address, port, count }: PortRule): string =>
  `${protocol} ${hostAddress} ${hostPort === 0 ? `${address} ${String(port)}` : String(hostPort)} ${String(count)}`;

const linkKeyOf = ({ from, to, protocol, port }: LinkRule): string => `${from} ${to} ${protocol} ${String(port)}`;

const sameRules = (a: BridgeRules, b: BridgeRules): boolean => Bun.deepEquals(a, b);

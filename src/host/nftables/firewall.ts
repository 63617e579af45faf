import type { BridgeRules, Firewall, FirewallState, PortRule } from '#core/firewall.ts';
import type { Nftables } from '#host/sys/nftables.ts';
import { createRuleset } from './ruleset.ts';

/** What the table holds is remembered here: changes are differences, and what is gone already is not removed again. */
export function createFirewall(options: {
  readonly table: string;
  readonly nftables: Nftables;
  /** Forgets, now or soon, the flows of connectionless protocols that led through these ports. */
  readonly forgetFlows: (ports: readonly PortRule[]) => void;
}): Firewall {
  const { nftables, table } = options;
  const ruleset = createRuleset(table);
  const bridges = new Map<string, BridgeRules>();
  const ports = new Map<string, PortRule>();
  let present = false;

  const state = (): FirewallState => ({ bridges: [...bridges.values()], ports: [...ports.values()] });
  /** The first change makes the table, replacing whatever was there by that name. */
  const run = (commands: () => string): void => {
    nftables.run(present ? commands() : ruleset.whole(state()));
    present = true;
  };

  return {
    putBridge(rules) {
      const before = bridges.get(rules.bridge);
      if (present && before !== undefined && sameRules(before, rules)) return;
      bridges.set(rules.bridge, rules);
      run(() => `${before === undefined ? '' : ruleset.removeBridge(before)}${ruleset.addBridge(rules)}`);
    },
    removeBridge(bridge) {
      const before = bridges.get(bridge);
      if (before === undefined) return;
      bridges.delete(bridge);
      run(() => ruleset.removeBridge(before));
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
    reconcile(wanted) {
      bridges.clear();
      ports.clear();
      for (const rules of wanted.bridges) bridges.set(rules.bridge, rules);
      for (const port of wanted.ports) ports.set(keyOf(port), port);
      present = false;
      run(() => '');
      return [];
    },
    remove() {
      bridges.clear();
      ports.clear();
      present = false;
      nftables.run(ruleset.removeTable);
    },
  };
}

const keyOf = ({ protocol, hostAddress, hostPort }: PortRule): string => `${protocol} ${hostAddress} ${String(hostPort)}`;

const sameRules = (a: BridgeRules, b: BridgeRules): boolean => Bun.deepEquals(a, b);

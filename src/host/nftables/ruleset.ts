import type { BridgeRules, FirewallState, LinkRule, PortRule } from '#core/firewall.ts';

/**
 * The rules as text for one transaction. The chains never change: what differs between hosts with ten and with a thousand containers is the
 * contents of sets and maps, so that a packet's path and a container's start cost the same.
 */
export interface Ruleset {
  /** The table with its sets and chains, empty. */
  readonly skeleton: string;
  readonly addBridge: (rules: BridgeRules) => string;
  readonly removeBridge: (rules: BridgeRules) => string;
  readonly addPorts: (ports: readonly PortRule[]) => string;
  readonly removePorts: (ports: readonly PortRule[]) => string;
  readonly addLinks: (links: readonly LinkRule[]) => string;
  readonly removeLinks: (links: readonly LinkRule[]) => string;
  readonly whole: (state: FirewallState) => string;
  /** Every set with what it must hold. */
  readonly contents: (state: FirewallState) => ReadonlyMap<string, readonly string[]>;
  readonly changeElements: (verb: 'add' | 'delete', bySet: ReadonlyMap<string, readonly string[]>) => string;
  /** Marks the table as the one that this text made. */
  readonly sign: (fingerprint: string) => string;
  readonly removeTable: string;
  /** Where the operator's own rules are. */
  readonly operatorTable: string;
  /** Makes it if it is not there; what is in it stays. */
  readonly addOperatorTable: string;
}

export function createRuleset(table: string, { hostDecides }: { readonly hostDecides: boolean }): Ruleset {
  const name = `inet ${table}`;
  const elements = (verb: 'add' | 'delete', bySet: ReadonlyMap<string, readonly string[]>): string =>
    [...bySet].map(([set, members]) => `${verb} element ${name} ${set} { ${members.join(', ')} }\n`).join('');
  const skeleton = `table ${name} {\n${sets}\n${chainsOf(hostDecides)}\n}\n`;
  const operatorTable = `${table}_user`;
  // Adding first makes the deletion good whether or not the table is there.
  const removeTable = `add table ${name}\ndelete table ${name}\n`;
  const contents = (state: FirewallState): ReadonlyMap<string, readonly string[]> => {
    const all = new Elements();
    for (const bySet of [...state.bridges.map(bridgeElements), portElements(state.ports, true), linkElements(state.links)]) {
      for (const [set, members] of bySet) for (const member of members) all.add(set, member);
    }
    return all.bySet;
  };
  const ruleset: Ruleset = {
    skeleton,
    addBridge: rules => elements('add', bridgeElements(rules)),
    removeBridge: rules => elements('delete', bridgeElements(rules)),
    addPorts: ports => elements('add', portElements(ports, true)),
    removePorts: ports => elements('delete', portElements(ports, false)),
    addLinks: links => elements('add', linkElements(links)),
    removeLinks: links => elements('delete', linkElements(links)),
    whole: state =>
      [removeTable, skeleton, ...state.bridges.map(ruleset.addBridge), ruleset.addPorts(state.ports), ruleset.addLinks(state.links)].join(
        '',
      ),
    contents,
    changeElements: elements,
    sign: fingerprint => `add element ${name} ${signatureSet} { "${fingerprint}" }\n`,
    removeTable,
    operatorTable,
    addOperatorTable: `table inet ${operatorTable} {\n${operatorChain}\n}\n`,
  };
  return ruleset;
}

/** Holds one word: what the table looked like when it was made. It is in no rule. */
export const signatureSet = 'signature';

const sets = `
  set ${signatureSet} { type ifname; }
  set bridges { type ifname; }
  set within { type ifname . ifname; }
  set apart { type ifname . ifname; }
  set internal { type ifname; }
  set inside4 { type ipv4_addr; flags interval; }
  set inside6 { type ipv6_addr; flags interval; }
  set masquerade4 { type ipv4_addr; flags interval; }
  set masquerade6 { type ipv6_addr; flags interval; }
  map leaves4 { type ipv4_addr : ipv4_addr; flags interval; }
  map leaves6 { type ipv6_addr : ipv6_addr; flags interval; }
  set guarded4 { type ipv4_addr; flags interval; }
  set guarded6 { type ipv6_addr; flags interval; }
  set links { type ipv4_addr . ipv4_addr . inet_proto . inet_service; }
  set trusted4 { type ifname . ipv4_addr; flags interval; }
  set trusted6 { type ifname . ipv6_addr; flags interval; }
  set open4 { type ipv4_addr; flags interval; }
  set open6 { type ipv6_addr; flags interval; }
  set routed4 { type ipv4_addr; flags interval; }
  set routed6 { type ipv6_addr; flags interval; }
  set reachable4 { type ipv4_addr . inet_proto . inet_service; }
  set reachable6 { type ipv6_addr . inet_proto . inet_service; }
  map ports4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map ports6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
  set reachableRanges4 { type ipv4_addr . inet_proto . inet_service; flags interval; }
  set reachableRanges6 { type ipv6_addr . inet_proto . inet_service; flags interval; }
  map addressRanges4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr; flags interval; }
  map addressRanges6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr; flags interval; }
  map ranges4 { type inet_proto . inet_service : ipv4_addr; flags interval; }
  map ranges6 { type inet_proto . inet_service : ipv6_addr; flags interval; }
  map addresses4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
  map addresses6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }`;

// guard      Before addresses are translated: a neighbour may neither speak to this host's loopback addresses through a bridge (on which route_localnet lets
//            them pass) nor to a container's own address from outside, where only published ports are meant to be reached. Answers to what a
//            container began come to its own address where nothing is translated.
// prerouting A loopback destination that arrives from outside is left to the kernel, which drops it, instead of being sent to a container.
//            Where the host's own rules decide about published ports, what comes from outside is not translated either: it goes through the
//            host's chains for incoming packets to the port proxy.
// output     [::1] cannot be translated (the kernel never routes it out of the host): the port proxy listens there.
// forward    Verdicts concern our bridges only; everything else is accepted here and judged by whoever else has rules. Bridged frames pass here
//            too where br_netfilter is on, with the bridge as both interfaces.
// postrouting What left for a container from its own host's loopback, or came from a container and was sent to a published port, must come back
//            through here to be translated back.
const chainsOf = (hostDecides: boolean): string => `
  chain guard {
    type filter hook prerouting priority mangle; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop
    iifname . ip daddr @trusted4 accept
    iifname . ip6 daddr @trusted6 accept
    iifname != @bridges iifname != "lo" ip daddr @guarded4 ct state != { established, related } drop
    iifname != @bridges iifname != "lo" ip6 daddr @guarded6 ct state != { established, related } drop
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 accept${hostDecides ? '\n    iifname != @bridges accept' : ''}
    fib daddr type local jump published
  }
  chain output {
    type nat hook output priority -100; policy accept;
    ip6 daddr ::1 accept
    fib daddr type local jump published
  }
  chain published {
    dnat ip to ip daddr . meta l4proto . th dport map @addresses4
    dnat ip to meta l4proto . th dport map @ports4
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @addresses6
    dnat ip6 to meta l4proto . th dport map @ports6
    dnat ip to ip daddr . meta l4proto . th dport map @addressRanges4
    dnat ip to meta l4proto . th dport map @ranges4
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @addressRanges6
    dnat ip6 to meta l4proto . th dport map @ranges6
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    oifname @bridges jump towards
    iifname @internal drop
  }
  chain towards {
    ct state established,related accept
    iifname . oifname @within accept
    oifname @internal drop
    iifname @internal drop
    ct status dnat accept
    ip saddr . ip daddr . meta l4proto . th dport @links accept
    iifname . oifname @apart drop
    iifname @bridges ip daddr @guarded4 drop
    iifname @bridges ip6 daddr @guarded6 drop
    ip daddr . meta l4proto . th dport @reachable4 accept
    ip6 daddr . meta l4proto . th dport @reachable6 accept
    ip daddr . meta l4proto . th dport @reachableRanges4 accept
    ip6 daddr . meta l4proto . th dport @reachableRanges6 accept
    ip daddr @routed4 meta l4proto 1 accept
    ip6 daddr @routed6 meta l4proto 58 accept
    ip daddr @open4 accept
    ip6 daddr @open6 accept
    drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname @bridges jump inward
    oifname != @bridges snat ip to ip saddr map @leaves4
    oifname != @bridges snat ip6 to ip6 saddr map @leaves6
    oifname != @bridges ip saddr @masquerade4 masquerade
    oifname != @bridges ip6 saddr @masquerade6 masquerade
  }
  chain inward {
    ip saddr 127.0.0.0/8 masquerade
    ct status dnat ip saddr @inside4 masquerade
    ct status dnat ip6 saddr @inside6 masquerade
  }`;

/** Before our own chain for what is forwarded: what a rule drops here is dropped, everything else goes on to ours. */
const operatorChain = `
  chain forward {
    type filter hook forward priority filter - 5; policy accept;
  }`;

/** Their names are known only where there is a file /etc/protocols. */
const protocolNumber = { tcp: '6', udp: '17', sctp: '132' } as const;

const isIpv6 = (text: string): boolean => text.includes(':');

class Elements {
  readonly #bySet = new Map<string, string[]>();

  add(set: string, member: string): void {
    const members = this.#bySet.get(set);
    if (members === undefined) this.#bySet.set(set, [member]);
    else members.push(member);
  }

  get bySet(): ReadonlyMap<string, readonly string[]> {
    return this.#bySet;
  }
}

export function bridgeElements(rules: BridgeRules): ReadonlyMap<string, readonly string[]> {
  const elements = new Elements();
  const bridge = `"${rules.bridge}"`;
  elements.add('bridges', bridge);
  elements.add(rules.icc ? 'within' : 'apart', `${bridge} . ${bridge}`);
  if (rules.internal) elements.add('internal', bridge);
  for (const { subnet, leavesAs, direct } of rules.subnets) {
    const family = isIpv6(subnet) ? '6' : '4';
    elements.add(`inside${family}`, subnet);
    if (!rules.internal && leavesAs === 'interface') elements.add(`masquerade${family}`, subnet);
    if (!rules.internal && leavesAs !== undefined && leavesAs !== 'interface') {
      elements.add(`leaves${family}`, `${subnet} : ${leavesAs.address}`);
    }
    if (direct === 'everything') elements.add(`open${family}`, subnet);
    if (direct === 'routed') elements.add(`routed${family}`, subnet);
    if (direct === 'closed') {
      elements.add(`guarded${family}`, subnet);
      for (const trusted of rules.trustedInterfaces) elements.add(`trusted${family}`, `"${trusted}" . ${subnet}`);
    }
  }
  return elements.bySet;
}

/**
 * Ports that follow each other and have the same numbers in the container are one element, however many they are. A container's ports come and go
 * together, so that the same elements are found each time.
 */
export function portElements(ports: readonly PortRule[], withTarget: boolean): ReadonlyMap<string, readonly string[]> {
  const elements = new Elements();
  for (const rule of ports) {
    if (rule.hostPort === 0) continue;
    const family = isIpv6(rule.address) ? '6' : '4';
    const before = isEverywhere(rule) ? '' : `${rule.hostAddress} . `;
    const protocol = protocolNumber[rule.protocol];
    if (rule.count >= shortestRange && rule.hostPort === rule.port) {
      const key = `${before}${protocol} . ${numbers(rule.hostPort, rule.hostPort + rule.count - 1)}`;
      elements.add(`${before === '' ? 'ranges' : 'addressRanges'}${family}`, withTarget ? `${key} : ${rule.address}` : key);
      continue;
    }
    const set = `${before === '' ? 'ports' : 'addresses'}${family}`;
    for (let i = 0; i < rule.count; i += 1) {
      const key = `${before}${protocol} . ${String(rule.hostPort + i)}`;
      elements.add(set, withTarget ? `${key} : ${rule.address} . ${String(rule.port + i)}` : key);
    }
  }
  for (const { address, protocol, first, last } of reachablePorts(ports)) {
    const family = isIpv6(address) ? '6' : '4';
    const before = `${address} . ${protocolNumber[protocol]} . `;
    if (last - first + 1 >= shortestRange) elements.add(`reachableRanges${family}`, `${before}${numbers(first, last)}`);
    else for (let port = first; port <= last; port += 1) elements.add(`reachable${family}`, `${before}${String(port)}`);
  }
  return elements.bySet;
}

const isEverywhere = ({ hostAddress }: PortRule): boolean => hostAddress === '0.0.0.0' || hostAddress === '::';

const numbers = (first: number, last: number): string => `${String(first)}-${String(last)}`;

/** Fewer are found faster one by one. */
const shortestRange = 16;

/** Ports of containers that may be reached at their own addresses. A port may be published more than once, and elements must not overlap. */
function reachablePorts(ports: readonly PortRule[]) {
  const all = ports
    .filter(({ direct }) => direct)
    .map(({ address, protocol, port, count }) => ({ address, protocol, first: port, last: port + count - 1 }))
    .toSorted((a, b) => (keyOf(a) === keyOf(b) ? a.first - b.first : keyOf(a) < keyOf(b) ? -1 : 1));
  const joined: typeof all = [];
  for (const one of all) {
    const before = joined.at(-1);
    if (before === undefined || keyOf(before) !== keyOf(one) || one.first > before.last + 1) joined.push(one);
    else before.last = Math.max(before.last, one.last);
  }
  return joined;
}

const keyOf = ({ address, protocol }: Pick<PortRule, 'address' | 'protocol'>): string => `${address} ${protocol}`;

export function linkElements(links: readonly LinkRule[]): ReadonlyMap<string, readonly string[]> {
  const elements = new Elements();
  for (const { from, to, protocol, port } of links)
    elements.add('links', `${from} . ${to} . ${protocolNumber[protocol]} . ${String(port)}`);
  return elements.bySet;
}

import { conflict, invalidArgument } from '#base/errors.ts';
import { formatIp, isUnspecified, parseIp } from '#base/ip.ts';
import type { PortRule } from '#core/firewall.ts';
import type { HostListener } from '#core/host-ports.ts';
import type { PortBinding, PortMap, Protocol, SandboxRequest } from '#core/network.ts';
import { compactPortMap, expandPortMap, expandPorts, parseNumbers, parsePortRange } from '#core/port-ranges.ts';
import type { Context } from './context.ts';
import { reachedDirectly } from './kernel-state.ts';
import type { AttachedLink, Attachment, BridgeSettings, PublishedPorts } from './model.ts';

/** The host ports of one container, held until disposed. */
export class HeldPorts implements AsyncDisposable {
  readonly ports: PublishedPorts[] = [];
  readonly #ctx: Context;
  readonly #target: AttachedLink;

  constructor(ctx: Context, target: AttachedLink) {
    this.#ctx = ctx;
    this.#target = target;
  }

  /** Takes these ports on every one of these host addresses, or none. Throws Conflict. */
  take(ports: Omit<PublishedPorts, 'hostIp'>, hostIps: readonly string[]): void {
    const taken: PublishedPorts[] = [];
    const opened: HostListener[] = [];
    try {
      for (const hostIp of hostIps) {
        const one = { ...ports, hostIp };
        const other = this.#ctx.ports.take(one);
        if (other !== undefined) throw conflict(`Bind for ${hostText(hostIp)}:${String(other)} failed: port is already allocated`);
        taken.push(one);
      }
      for (const listener of listenersOf(taken, this.#target)) {
        this.#ctx.hostPorts.open(listener);
        opened.push(listener);
      }
    } catch (err) {
      for (const one of taken) this.#ctx.ports.release(one);
      void this.#ctx.hostPorts.close(opened);
      throw err;
    }
    this.ports.push(...taken);
  }

  /** Opens those that have no number on the host. */
  open(ports: PublishedPorts): void {
    this.ports.push(ports);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await releasePorts(this.#ctx, this.ports, this.#target);
  }
}

/** Chooses and takes host ports for everything a container publishes. Throws Conflict, InvalidArgument. */
export function takePorts(ctx: Context, held: HeldPorts, request: SandboxRequest, bridge: BridgeSettings | undefined): void {
  for (const [key, bindings] of Object.entries(bindingsOf(request))) {
    for (const binding of bindings) takeBinding(ctx, held, insideOf(key), binding, bridge);
  }
}

/** Those that have a number on the host. */
export const heldOnHost = (ports: readonly PublishedPorts[]): PublishedPorts[] => ports.filter(({ hostPort }) => hostPort !== 0);

/** Frees ports for this daemon at once and for other processes when it resolves. */
export async function releasePorts(ctx: Context, ports: readonly PublishedPorts[], target: AttachedLink): Promise<void> {
  await ctx.hostPorts.close(listenersOf(ports, target));
  for (const port of heldOnHost(ports)) ctx.ports.release(port);
}

/** What the packet rules translate or let through. An IPv6 host address leads to an IPv4 container through the port proxy instead. */
export function portRulesOf(ctx: Context, ports: readonly PublishedPorts[], { networkId, link }: Attachment): PortRule[] {
  const bridge = ctx.networks.byId(networkId)?.bridge;
  return ports.flatMap(({ protocol, hostIp, hostPort, containerPort, count }) => {
    const family = hostIp.includes(':') ? 6 : 4;
    const address = (family === 6 ? link?.ipv6 : link?.ipv4)?.address;
    if (address === undefined) return [];
    const direct = bridge !== undefined && reachedDirectly(ctx, bridge, family);
    return [{ protocol, hostAddress: hostIp, hostPort, address, port: containerPort, count, direct }];
  });
}

/** What holds these ports on the host: every address of both families is one listener. */
export function listenersOf(ports: readonly PublishedPorts[], target: AttachedLink): HostListener[] {
  const held = heldOnHost(ports);
  const keyOf = ({ protocol, hostPort, containerPort, count }: PublishedPorts) => `${protocol} ${hostPort} ${containerPort} ${count}`;
  const withIpv6 = new Set(held.filter(({ hostIp }) => hostIp === '::').map(keyOf));
  const withIpv4 = new Set(held.filter(({ hostIp }) => hostIp === '0.0.0.0').map(keyOf));
  return held.flatMap(port => {
    const isEverywhere = withIpv6.has(keyOf(port)) && withIpv4.has(keyOf(port));
    if (isEverywhere && port.hostIp === '::') return [];
    const hostIp = isEverywhere && port.hostIp === '0.0.0.0' ? '*' : port.hostIp;
    return [listenerOf({ ...port, hostIp }, target)];
  });
}

function listenerOf({ protocol, hostIp, hostPort, containerPort, count }: PublishedPorts, { ipv4, ipv6 }: AttachedLink): HostListener {
  const addresses = { 4: (ipv4 ?? ipv6)?.address ?? '', 6: (ipv6 ?? ipv4)?.address ?? '' };
  return { protocol, hostIp, hostPort, count, addresses, port: containerPort };
}

/** The container's side of what is published. */
interface Inside {
  readonly protocol: Protocol;
  readonly containerPort: number;
  readonly count: number;
}

function takeBinding(ctx: Context, held: HeldPorts, inside: Inside, binding: PortBinding, bridge: BridgeSettings | undefined): void {
  // `0.0.0.0` as the network's default means everywhere, IPv6 too; as the user's own word it means IPv4.
  const byDefault = bridge === undefined || bridge.hostBindingIpv4 === '0.0.0.0' ? '' : bridge.hostBindingIpv4;
  const asked = hostIpsOf(ctx, binding.hostIp === '' ? byDefault : binding.hostIp, inside.protocol);
  const isRouted = (hostIp: string): boolean => bridge?.gatewayModes[hostIp.includes(':') ? 6 : 4] === 'routed';
  // Where nothing is translated the host has no part in it: the container's own port is opened instead.
  for (const hostIp of asked.filter(isRouted)) held.open({ ...inside, hostIp, hostPort: 0 });
  const hostIps = asked.filter(hostIp => !isRouted(hostIp));
  if (hostIps.length === 0) return;
  if (binding.hostPort === '' || binding.hostPort === '0') {
    takeAny(ctx, held, inside, hostIps);
    return;
  }
  const numbers = parseNumbers(binding.hostPort);
  if (numbers === undefined || numbers.first < 1) throw invalidArgument(`invalid host port: ${binding.hostPort}`);
  const size = numbers.last - numbers.first + 1;
  if (size === inside.count) held.take({ ...inside, hostPort: numbers.first }, hostIps);
  else if (inside.count === 1) takeOneOf(held, inside, numbers, hostIps);
  else {
    throw invalidArgument(
      `invalid host ports ${binding.hostPort} for ${String(inside.count)} ports of the container: there must be as many of them`,
    );
  }
}

function takeOneOf(held: HeldPorts, inside: Inside, { first, last }: { first: number; last: number }, hostIps: readonly string[]): void {
  let refusal: unknown;
  for (let hostPort = first; hostPort <= last; hostPort += 1) {
    try {
      held.take({ ...inside, hostPort }, hostIps);
      return;
    } catch (err) {
      refusal = err;
    }
  }
  throw refusal;
}

/** Ports of the engine's choice, in runs as long as can be had. */
function takeAny(ctx: Context, held: HeldPorts, inside: Inside, hostIps: readonly string[]): void {
  const range = ctx.hostPorts.ephemeralRange();
  const reserved = ctx.hostPorts.reservedRanges();
  const [lowest, highest] = range;
  let done = 0;
  let refusal: unknown;
  for (let tried = 0; tried <= highest - lowest && done < inside.count; ) {
    const hostPort = ctx.ports.nextEphemeral(range);
    let run = Math.min(inside.count - done, highest - hostPort + 1);
    for (const [first, last] of reserved) if (last >= hostPort) run = Math.min(run, Math.max(first - hostPort, 0));
    let taken = 0;
    for (; run > 0 && taken === 0; run >>= 1) {
      try {
        held.take({ protocol: inside.protocol, containerPort: inside.containerPort + done, hostPort, count: run }, hostIps);
        taken = run;
      } catch (err) {
        refusal = err;
      }
    }
    ctx.ports.skipEphemeral(Math.max(taken - 1, 0));
    tried += Math.max(taken, 1);
    done += taken;
  }
  if (done < inside.count) throw conflict(`all ports of ip_local_port_range are in use for ${inside.protocol}`, { cause: refusal });
}

/** All addresses means both families. SCTP is carried by packet rules alone, so it has no IPv6 side to an IPv4 container. */
function hostIpsOf(ctx: Context, text: string, protocol: Protocol): string[] {
  if (text === '') return protocol !== 'sctp' && ctx.hostPorts.ipv6 ? ['0.0.0.0', '::'] : ['0.0.0.0'];
  const address = parseIp(text.replace(/^\[(.*)\]$/, '$1'));
  if (address === undefined) throw invalidArgument(`invalid host IP address: ${text}`);
  if (isUnspecified(address)) return [address.family === 4 ? '0.0.0.0' : '::'];
  return [formatIp(address)];
}

export function bindingsOf(request: SandboxRequest): PortMap {
  if (!request.publishAllPorts) return request.portBindings;
  const map: Record<string, readonly PortBinding[]> = { ...expandPortMap(request.portBindings) };
  for (const key of expandPorts(request.exposedPorts)) if ((map[key] ?? []).length === 0) map[key] = [{ hostIp: '', hostPort: '' }];
  return compactPortMap(map);
}

function insideOf(key: string): Inside {
  const range = parsePortRange(key);
  if (range === undefined) throw invalidArgument(`invalid container port: ${key}`);
  return { protocol: range.protocol, containerPort: range.first, count: range.last - range.first + 1 };
}

const hostText = (hostIp: string): string => (hostIp.includes(':') ? `[${hostIp}]` : hostIp);

import { conflict, invalidArgument } from '#base/errors.ts';
import { formatIp, isUnspecified, parseIp } from '#base/ip.ts';
import type { PortRule } from '#core/firewall.ts';
import type { HostListener } from '#core/host-ports.ts';
import type { PortBinding, PortMap, Protocol, SandboxRequest } from '#core/network.ts';
import type { Context } from './context.ts';
import { reachedDirectly } from './kernel-state.ts';
import type { AttachedLink, Attachment, BridgeSettings, PublishedPort } from './model.ts';

/** The host ports of one container, held until disposed. */
export class HeldPorts implements AsyncDisposable {
  readonly ports: PublishedPort[] = [];
  readonly #ctx: Context;
  readonly #target: AttachedLink;

  constructor(ctx: Context, target: AttachedLink) {
    this.#ctx = ctx;
    this.#target = target;
  }

  /** Takes one port on every one of these host addresses, or none. Throws Conflict. */
  take(port: Omit<PublishedPort, 'hostIp'>, hostIps: readonly string[]): void {
    const taken: PublishedPort[] = [];
    try {
      for (const hostIp of hostIps) {
        const one = { ...port, hostIp };
        if (!this.#ctx.ports.take(one))
          throw conflict(`Bind for ${hostText(hostIp)}:${String(port.hostPort)} failed: port is already allocated`);
        taken.push(one);
        this.#ctx.hostPorts.open(listenerOf(one, this.#target));
      }
    } catch (err) {
      for (const one of taken) this.#ctx.ports.release(one);
      void this.#ctx.hostPorts.close(taken.map(one => listenerOf(one, this.#target)));
      throw err;
    }
    this.ports.push(...taken);
  }

  /** Opens one that has no number on the host. */
  open(port: PublishedPort): void {
    this.ports.push(port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await releasePorts(this.#ctx, this.ports, this.#target);
  }
}

/** Chooses and takes host ports for everything a container publishes. Throws Conflict, InvalidArgument. */
export function takePorts(ctx: Context, held: HeldPorts, request: SandboxRequest, bridge: BridgeSettings | undefined): void {
  for (const [key, bindings] of Object.entries(bindingsOf(request))) {
    const { protocol, port } = parsePortKey(key);
    for (const binding of bindings) takeBinding(ctx, held, protocol, port, binding, bridge);
  }
}

/** Those that have a number on the host. */
export const heldOnHost = (ports: readonly PublishedPort[]): PublishedPort[] => ports.filter(({ hostPort }) => hostPort !== 0);

/** Frees ports for this daemon at once and for other processes when it resolves. */
export async function releasePorts(ctx: Context, ports: readonly PublishedPort[], target: AttachedLink): Promise<void> {
  const held = heldOnHost(ports);
  await ctx.hostPorts.close(held.map(port => listenerOf(port, target)));
  for (const port of held) ctx.ports.release(port);
}

/** What the packet rules translate or let through. An IPv6 host address leads to an IPv4 container through the port proxy instead. */
export function portRulesOf(ctx: Context, ports: readonly PublishedPort[], { networkId, link }: Attachment): PortRule[] {
  const bridge = ctx.networks.byId(networkId)?.bridge;
  return ports.flatMap(({ protocol, hostIp, hostPort, containerPort }) => {
    const family = hostIp.includes(':') ? 6 : 4;
    const address = (family === 6 ? link?.ipv6 : link?.ipv4)?.address;
    if (address === undefined) return [];
    const direct = bridge !== undefined && reachedDirectly(ctx, bridge, family);
    return [{ protocol, hostAddress: hostIp, hostPort, address, port: containerPort, direct }];
  });
}

export function listenerOf({ protocol, hostIp, hostPort, containerPort }: PublishedPort, target: AttachedLink): HostListener {
  const address = (hostIp.includes(':') ? (target.ipv6 ?? target.ipv4) : (target.ipv4 ?? target.ipv6))?.address ?? '';
  return { protocol, hostIp, hostPort, address, port: containerPort };
}

/** As inspect shows them: published ones with what was chosen, the other exposed ones with nothing. */
export function portMapOf(request: SandboxRequest, ports: readonly PublishedPort[]): PortMap {
  const map: Record<string, PortBinding[]> = {};
  for (const key of [...request.exposedPorts, ...Object.keys(request.portBindings)]) map[key] ??= [];
  for (const { protocol, containerPort, hostIp, hostPort } of ports) {
    (map[`${String(containerPort)}/${protocol}`] ??= []).push({ hostIp, hostPort: hostPort === 0 ? '' : String(hostPort) });
  }
  return map;
}

function takeBinding(
  ctx: Context,
  held: HeldPorts,
  protocol: Protocol,
  port: number,
  binding: PortBinding,
  bridge: BridgeSettings | undefined,
): void {
  // `0.0.0.0` as the network's default means everywhere, IPv6 too; as the user's own word it means IPv4.
  const byDefault = bridge === undefined || bridge.hostBindingIpv4 === '0.0.0.0' ? '' : bridge.hostBindingIpv4;
  const asked = hostIpsOf(ctx, binding.hostIp === '' ? byDefault : binding.hostIp, protocol);
  const isRouted = (hostIp: string): boolean => bridge?.gatewayModes[hostIp.includes(':') ? 6 : 4] === 'routed';
  // Where nothing is translated the host has no part in it: the container's own port is opened instead.
  for (const hostIp of asked.filter(isRouted)) held.open({ protocol, containerPort: port, hostIp, hostPort: 0 });
  const hostIps = asked.filter(hostIp => !isRouted(hostIp));
  if (hostIps.length === 0) return;
  const { candidates, single } = candidatesOf(ctx, binding.hostPort);
  let last: unknown;
  for (const hostPort of candidates) {
    try {
      held.take({ protocol, containerPort: port, hostPort }, hostIps);
      return;
    } catch (err) {
      last = err;
      if (single) throw err;
    }
  }
  if (binding.hostPort === '') throw conflict(`all ports of ip_local_port_range are in use for ${protocol}`, { cause: last });
  throw last;
}

/** All addresses means both families. SCTP is carried by packet rules alone, so it has no IPv6 side to an IPv4 container. */
function hostIpsOf(ctx: Context, text: string, protocol: Protocol): string[] {
  if (text === '') return protocol !== 'sctp' && ctx.hostPorts.ipv6 ? ['0.0.0.0', '::'] : ['0.0.0.0'];
  const address = parseIp(text.replace(/^\[(.*)\]$/, '$1'));
  if (address === undefined) throw invalidArgument(`invalid host IP address: ${text}`);
  if (isUnspecified(address)) return [address.family === 4 ? '0.0.0.0' : '::'];
  return [formatIp(address)];
}

function candidatesOf(ctx: Context, text: string): { readonly candidates: Iterable<number>; readonly single: boolean } {
  if (text === '' || text === '0') return { candidates: freelyChosen(ctx), single: false };
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match === null || first < 1 || last > 65_535 || first > last) throw invalidArgument(`invalid host port: ${text}`);
  return { candidates: Array.from({ length: last - first + 1 }, (_, index) => first + index), single: first === last };
}

function* freelyChosen(ctx: Context): Generator<number> {
  for (const port of ctx.ports.ephemeral(ctx.hostPorts.ephemeralRange())) if (!ctx.hostPorts.isReserved(port)) yield port;
}

function bindingsOf(request: SandboxRequest): PortMap {
  if (!request.publishAllPorts) return request.portBindings;
  const map: Record<string, readonly PortBinding[]> = { ...request.portBindings };
  for (const key of request.exposedPorts) {
    if ((map[key] ?? []).length === 0) map[key] = [{ hostIp: '', hostPort: '' }];
  }
  return map;
}

export function parsePortKey(key: string): { readonly protocol: Protocol; readonly port: number } {
  const match = /^(\d{1,5})\/(tcp|udp|sctp)$/.exec(key);
  if (match === null) throw invalidArgument(`invalid container port: ${key}`);
  return { port: Number(match[1]), protocol: match[2] as Protocol };
}

const hostText = (hostIp: string): string => (hostIp.includes(':') ? `[${hostIp}]` : hostIp);

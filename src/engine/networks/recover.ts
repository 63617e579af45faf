import { messageOf } from '#base/errors.ts';
import type { PortRule } from '#core/firewall.ts';
import type { Sandbox } from '#core/network.ts';
import { publishingAttachment, retakeAttachment } from './attachments.ts';
import { usesInternalResolver } from './container-files.ts';
import type { Context } from './context.ts';
import type { SandboxRecord } from './model.ts';
import { bridgeRulesOf } from './kernel-state.ts';
import { linkRules } from './links.ts';
import { disconnect } from './connect.ts';
import { openWay } from './create.ts';
import { putLinks } from './network-links.ts';
import { replayRequests } from './ipam.ts';
import { recoverPluginNetworks } from './plugin-networks.ts';
import { retireDefaultBridge } from './predefined.ts';
import { heldOnHost, listenersOf, portRulesOf } from './publish-ports.ts';
import { teardown } from './teardown.ts';

export interface Recovered {
  /** What was removed, in words. */
  readonly repaired: readonly string[];
  /** Sandboxes of running containers that had an unfinished change. */
  readonly changed: ReadonlyMap<string, Sandbox>;
}

/**
 * Makes the kernel what the records say: sandboxes of running containers stay untouched, but for networks that their containers (here with the
 * networks they know) have not joined or have left, and everything else that is ours goes. Order: memory → sandboxes that are over → bridges →
 * packet rules in one transaction → host ports → unfinished changes → what is left over.
 */
export async function recover(ctx: Context, running: ReadonlyMap<string, readonly string[]>): Promise<Recovered> {
  const removed: string[] = [];
  const changed = new Map<string, Sandbox>();
  for (const sandbox of ctx.sandboxes.list()) {
    for (const attachment of sandbox.attachments) retakeAttachment(ctx, attachment);
    for (const port of heldOnHost(sandbox.ports)) ctx.ports.take(port);
  }
  await attemptReplay(ctx);
  for (const sandbox of ctx.sandboxes.list()) {
    const { containerId } = sandbox.request;
    if (!running.has(containerId)) {
      await teardown(ctx, containerId);
      removed.push(`network sandbox of container ${containerId.slice(0, 12)}, which no longer runs`);
    }
  }
  removed.push(...(await recoverPluginNetworks(ctx)));
  await retireDefaultBridge(ctx);
  for (const network of ctx.networks.list()) {
    try {
      putLinks(ctx, network);
    } catch (err) {
      ctx.log.error('a network cannot be used until its links can be made', { network: network.name, error: messageOf(err) });
    }
  }
  removed.push(...reconcileRules(ctx));
  removed.push(...(await ctx.hostPorts.reconcile(ctx.sandboxes.list().flatMap(heldListeners(ctx)))));
  for (const network of ctx.networks.list()) openWay(ctx, network);
  for (const sandbox of ctx.sandboxes.list()) {
    const { containerId } = sandbox.request;
    for (const networkId of strayNetworks(ctx, sandbox, running.get(containerId) ?? [])) {
      const left = await leave(ctx, sandbox, networkId);
      if (left !== undefined) changed.set(containerId, left);
      removed.push(`container ${containerId.slice(0, 12)} from network ${networkId.slice(0, 12)}, which it had not quite joined or left`);
    }
  }
  removed.push(...(await removeStrays(ctx)));
  await serveNames(ctx);
  return { repaired: removed, changed };
}

async function attemptReplay(ctx: Context): Promise<void> {
  try {
    await replayRequests(ctx);
  } catch (err) {
    ctx.log.error('a plugin could not be asked again for the addresses that are in use', { error: messageOf(err) });
  }
}

/** A container's own record is the last word on which networks it is on: written last when it joins one and first when it leaves one. */
function strayNetworks(ctx: Context, { request, attachments }: SandboxRecord, networks: readonly string[]): string[] {
  if (request.mode.mode !== 'networks' || networks.length === 0) return [];
  const known = new Set(networks.map(ref => ctx.networks.byId(ref)?.id ?? ctx.networks.byName(ref)?.id));
  return attachments.filter(({ implied, networkId }) => !implied && !known.has(networkId)).map(({ networkId }) => networkId);
}

/** Takes a container off a network that may be half joined or half left. */
async function leave(ctx: Context, { request: { containerId } }: SandboxRecord, networkId: string): Promise<Sandbox | undefined> {
  try {
    return await disconnect(ctx, containerId, networkId);
  } catch (err) {
    ctx.log.error('a container could not be taken off a network', { container: containerId, network: networkId, error: messageOf(err) });
    return undefined;
  }
}

function reconcileRules(ctx: Context): string[] {
  const bridges = ctx.networks.list().flatMap(network => bridgeRulesOf(ctx, network) ?? []);
  const ports: PortRule[] = ctx.sandboxes.list().flatMap(({ attachments, ports }) => {
    const target = publishingAttachment(ctx, attachments);
    return target === undefined ? [] : portRulesOf(ctx, ports, target);
  });
  return ctx.firewall.reconcile({ bridges, ports, links: linkRules(ctx) });
}

const heldListeners =
  (ctx: Context) =>
  ({ attachments, ports }: ReturnType<Context['sandboxes']['list']>[number]) => {
    const link = publishingAttachment(ctx, attachments)?.link;
    return link === undefined ? [] : listenersOf(ports, link);
  };

/** Namespaces and bridge ports that no record knows: from a data root that was lost, or a record that was. */
async function removeStrays(ctx: Context): Promise<string[]> {
  const removed: string[] = [];
  for (const key of ctx.driver.sandboxes()) {
    if (ctx.sandboxes.get(key) !== undefined) continue;
    ctx.driver.removeSandbox(key);
    removed.push(`network namespace ${key.slice(0, 12)}, which belongs to no container`);
  }
  const known = new Set(ctx.sandboxes.list().flatMap(({ attachments }) => attachments.map(({ link }) => link?.hostName)));
  for (const network of ctx.networks.list()) {
    if (network.bridge === undefined) continue;
    for (const port of ctx.driver.bridgePorts(network.bridge.name)) {
      // Somebody else's interface may be a port of the bridge too; ours are called like this.
      if (known.has(port) || !/^veth[0-9a-f]{7}$/.test(port)) continue;
      await ctx.driver.removeLink(port);
      removed.push(`interface ${port} on ${network.bridge.name}, which belongs to no container`);
    }
  }
  return removed;
}

async function serveNames(ctx: Context): Promise<void> {
  for (const { request, attachments } of ctx.sandboxes.list()) {
    if (!usesInternalResolver(ctx, attachments)) continue;
    try {
      await ctx.nameServer.serve(request.containerId, ctx.driver.sandboxPath(request.containerId));
    } catch (err) {
      ctx.log.error('names cannot be resolved in a container', { container: request.containerId, error: messageOf(err) });
    }
  }
}

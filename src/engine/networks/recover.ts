import { messageOf } from '#base/errors.ts';
import type { PortRule } from '#core/firewall.ts';
import { interfaceOf, publishingAttachment, retakeAttachment } from './attachments.ts';
import { usesInternalResolver } from './container-files.ts';
import type { Context } from './context.ts';
import { bridgeRulesOf } from './kernel-state.ts';
import { putBridge } from './create.ts';
import { listenerOf, portRulesOf } from './publish-ports.ts';
import { teardown } from './teardown.ts';

/**
 * Makes the kernel what the records say: sandboxes of running containers stay untouched, everything else that is ours goes. Order: memory →
 * bridges → packet rules in one transaction → host ports → what is left over.
 */
export async function recover(ctx: Context, running: ReadonlySet<string>): Promise<string[]> {
  const removed: string[] = [];
  const [kept, gone] = [ctx.sandboxes.list(), [] as string[]];
  for (const sandbox of kept) {
    for (const attachment of sandbox.attachments) retakeAttachment(ctx, attachment);
    for (const port of sandbox.ports) ctx.ports.take(port);
    if (!running.has(sandbox.request.containerId)) gone.push(sandbox.request.containerId);
  }
  for (const containerId of gone) {
    await teardown(ctx, containerId);
    removed.push(`network sandbox of container ${containerId.slice(0, 12)}, which no longer runs`);
  }
  for (const network of ctx.networks.list()) {
    try {
      putBridge(ctx, network);
    } catch (err) {
      ctx.log.error('a network cannot be used until its bridge can be made', { network: network.name, error: messageOf(err) });
    }
  }
  removed.push(...reconcileRules(ctx));
  removed.push(...(await ctx.hostPorts.reconcile(ctx.sandboxes.list().flatMap(listenersOf(ctx)))));
  removed.push(...(await removeStrays(ctx)));
  await serveNames(ctx);
  return removed;
}

function reconcileRules(ctx: Context): string[] {
  const bridges = ctx.networks.list().flatMap(network => bridgeRulesOf(network) ?? []);
  const ports: PortRule[] = ctx.sandboxes.list().flatMap(({ attachments, ports }) => {
    const link = publishingAttachment(ctx, attachments)?.link;
    return link === undefined ? [] : portRulesOf(ports, link);
  });
  return ctx.firewall.reconcile({ bridges, ports });
}

const listenersOf =
  (ctx: Context) =>
  ({ attachments, ports }: ReturnType<Context['sandboxes']['list']>[number]) => {
    const link = publishingAttachment(ctx, attachments)?.link;
    return link === undefined ? [] : ports.map(port => listenerOf(port, link));
  };

/** Namespaces and bridge ports that no record knows: from a data root that was lost, or a record that was. */
async function removeStrays(ctx: Context): Promise<string[]> {
  const removed: string[] = [];
  for (const key of ctx.driver.sandboxes()) {
    if (ctx.sandboxes.get(key) !== undefined) continue;
    ctx.driver.removeSandbox(key);
    removed.push(`network namespace ${key.slice(0, 12)}, which belongs to no container`);
  }
  const known = new Set(
    ctx.sandboxes.list().flatMap(({ attachments, ports }) =>
      attachments.flatMap(attachment => {
        const network = ctx.networks.byId(attachment.networkId);
        return network === undefined ? [] : (interfaceOf(network, attachment, ports.length > 0)?.hostName ?? []);
      }),
    ),
  );
  for (const network of ctx.networks.list()) {
    if (network.bridge === undefined) continue;
    for (const port of ctx.driver.bridgePorts(network.bridge.name)) {
      // Somebody else's interface may be a port of the bridge too; ours are called like this.
      if (known.has(port) || !/^veth[0-9a-f]{7}$/.test(port)) continue;
      await ctx.driver.removeInterface(port);
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

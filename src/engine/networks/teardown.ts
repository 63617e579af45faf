import { cleanUp } from '#base/dispose.ts';
import { failpoint } from '#base/failpoint.ts';
import { publishingAttachment, releaseAttachment, remotePublishing } from './attachments.ts';
import { type Context, publish } from './context.ts';
import { applyLinks } from './links.ts';
import { closeRemotePorts, isOfPlugin, leavePlugins } from './plugin-endpoints.ts';
import { portRulesOf, releasePorts } from './publish-ports.ts';

/**
 * The reverse of setup; the record goes last, so that a kill in between is finished by the next daemon. A step that fails does not keep the
 * others from being done. None there is fine.
 */
export async function teardown(ctx: Context, containerId: string): Promise<void> {
  const record = ctx.sandboxes.get(containerId);
  if (record === undefined) return;
  const { attachments, ports } = record;
  ctx.nameServer.stop(containerId);
  failpoint('network.teardown.names');
  const target = publishingAttachment(ctx, attachments);
  const link = target?.link;
  if (target !== undefined && link !== undefined && ports.length > 0) {
    await cleanUp(`port rules of ${containerId}`, ctx.log, () => ctx.firewall.unpublish(portRulesOf(ctx, ports, target)));
    failpoint('network.teardown.unpublished');
    await cleanUp(`host ports of ${containerId}`, ctx.log, () => releasePorts(ctx, ports, link));
  }
  const remote = remotePublishing(ctx, attachments);
  if (remote !== undefined) await cleanUp(`ports of ${containerId}`, ctx.log, () => closeRemotePorts(ctx, remote));
  await cleanUp(`endpoints of ${containerId}`, ctx.log, () => leavePlugins(ctx, record));
  // What shares a parent would keep its link address, which the next one may have, until the kernel has cleaned up the namespace.
  for (const attachment of attachments) {
    const { link: shared } = attachment;
    if (shared === undefined || shared.hostName !== undefined || isOfPlugin(ctx, attachment)) continue;
    await cleanUp(`interface ${shared.name} of ${containerId}`, ctx.log, () => ctx.driver.removeInterface(containerId, shared));
    failpoint('network.teardown.shared');
  }
  await cleanUp(`network namespace of ${containerId}`, ctx.log, () => ctx.driver.removeSandbox(containerId));
  failpoint('network.teardown.detached');
  for (const attachment of attachments) await releaseAttachment(ctx, attachment);
  ctx.sandboxes.delete(containerId);
  await cleanUp(`links of ${containerId}`, ctx.log, () => applyLinks(ctx));
  failpoint('network.teardown.done');
  ctx.lingering.removeLater(attachments.flatMap(({ link }) => link?.hostName ?? []));
  for (const { networkId } of attachments) {
    const network = ctx.networks.byId(networkId);
    if (network !== undefined) publish(ctx, network, 'disconnect', { container: containerId });
  }
}

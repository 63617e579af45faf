import { permissionDenied } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { type Context, publish } from './context.ts';
import { releasePools } from './ipam.ts';
import { takeFromKernel } from './network-links.ts';
import { removePluginNetwork } from './plugin-networks.ts';

/** Rejects with NotFound; with PermissionDenied for a predefined network or one that containers are on. */
export async function removeNetwork(ctx: Context, ref: string): Promise<void> {
  const network = ctx.networks.find(ref);
  if (network.predefined) throw permissionDenied(`${network.name} is a pre-defined network and cannot be removed`);
  if (network.configOnly && ctx.networks.list().some(({ configFrom }) => configFrom === network.name)) {
    throw permissionDenied(`configuration network "${network.name}" is in use: remove the networks that were made from it first`);
  }
  const users = ctx.sandboxes.on(network.id);
  if (users.length > 0) {
    const list = users.map(
      ({ sandbox, attachment }) => `name:"${sandbox.request.containerName}" id:"${attachment.endpointId.slice(0, 12)}"`,
    );
    throw permissionDenied(`error while removing network: network ${network.name} has active endpoints (${list.join(', ')})`);
  }
  if (network.plugin !== undefined) {
    await removePluginNetwork(ctx, network);
    publish(ctx, network, 'destroy');
    return;
  }
  // Nobody may join while the kernel takes its time; the record stays until it is done.
  ctx.networks.hide(network);
  try {
    await takeFromKernel(ctx, network);
  } catch (err) {
    ctx.networks.show(network);
    throw err;
  }
  await releasePools(ctx, network.ipam.driver, network.ipam.pools);
  ctx.networks.delete(network);
  failpoint('network.remove.done');
  publish(ctx, network, 'destroy');
}

import { permissionDenied } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { type Context, publish } from './context.ts';
import type { Network } from './model.ts';

/** Rejects with NotFound; with PermissionDenied for a predefined network or one that containers are on. */
export function removeNetwork(ctx: Context, ref: string): void {
  const network = ctx.networks.find(ref);
  if (network.predefined) throw permissionDenied(`${network.name} is a pre-defined network and cannot be removed`);
  const users = ctx.sandboxes.on(network.id);
  if (users.length > 0) {
    const list = users.map(
      ({ sandbox, attachment }) => `name:"${sandbox.request.containerName}" id:"${attachment.endpointId.slice(0, 12)}"`,
    );
    throw permissionDenied(`error while removing network: network ${network.name} has active endpoints (${list.join(', ')})`);
  }
  takeFromKernel(ctx, network);
  ctx.networks.delete(network);
  failpoint('network.remove.done');
  publish(ctx, network, 'destroy');
}

export function takeFromKernel(ctx: Context, network: Network): void {
  if (network.bridge === undefined) return;
  ctx.firewall.removeBridge(network.bridge.name);
  failpoint('network.remove.rules');
  ctx.driver.removeBridge(network.bridge.name);
  failpoint('network.remove.bridge');
}

import { conflict, notFound, permissionDenied } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { Sandbox, SandboxRequest } from '#core/network.ts';
import { attach, checkStatic, dnsNamesOf, gatewaysOf, interfaceOf, releaseAttachment } from './attachments.ts';
import { usesInternalResolver } from './container-files.ts';
import { type Context, publish } from './context.ts';
import type { Attachment, Network, SandboxRecord } from './model.ts';
import { sandboxOf } from './setup.ts';

/** Joins a container that runs to one more network. Rejects with NotFound, PermissionDenied, Conflict. */
export async function connect(ctx: Context, request: SandboxRequest, ref: string, signal: AbortSignal): Promise<Sandbox> {
  signal.throwIfAborted();
  const network = ctx.networks.find(ref);
  const before = sandboxFor(ctx, request.containerId);
  checkJoin(ctx, before, network);
  const config = request.endpoints[ref] ?? request.endpoints[network.name] ?? request.endpoints[network.id] ?? {};
  checkStatic(network, config);
  await using undo = new AsyncDisposableStack();
  const attachment = attach(ctx, network, config, request, freeInterfaceName(before.attachments));
  undo.defer(() => releaseAttachment(ctx, attachment));
  const record: SandboxRecord = { ...before, request, attachments: [...before.attachments, attachment] };
  ctx.sandboxes.put(record);
  undo.defer(() => ctx.sandboxes.put(before));
  failpoint('network.connect.recorded');
  const added = interfaceOf(network, attachment, false);
  if (added !== undefined) {
    ctx.driver.addInterface(request.containerId, added);
    undo.defer(() => ctx.driver.removeInterface(added.hostName));
    ctx.driver.setGateways(request.containerId, gatewaysOf(ctx, byPriority(ctx, record.attachments)));
  }
  failpoint('network.connect.attached');
  const path = ctx.driver.sandboxPath(request.containerId);
  if (usesInternalResolver(ctx, record.attachments)) await ctx.nameServer.serve(request.containerId, path);
  undo.move();
  publish(ctx, network, 'connect', { container: request.containerId });
  return sandboxOf(ctx, record, { kind: 'path', path });
}

/** Undefined when the container does not run. Rejects with NotFound when it is not on the network. */
export function disconnect(ctx: Context, containerId: string, ref: string): Sandbox | undefined {
  const before = ctx.sandboxes.get(containerId);
  if (before === undefined) return undefined;
  const network = ctx.networks.find(ref);
  const attachment = before.attachments.find(one => one.networkId === network.id);
  if (attachment === undefined) throw notFound(`container ${containerId} is not connected to network ${network.name}`);
  if (network.driver === 'host') throw permissionDenied('container cannot be disconnected from host network or connected to host network');
  const record: SandboxRecord = { ...before, attachments: before.attachments.filter(one => one !== attachment) };
  if (attachment.link !== undefined) {
    ctx.driver.removeInterface(attachment.link.hostName);
    ctx.driver.setGateways(containerId, gatewaysOf(ctx, byPriority(ctx, record.attachments)));
  }
  failpoint('network.disconnect.detached');
  ctx.sandboxes.put(record);
  releaseAttachment(ctx, attachment);
  if (!usesInternalResolver(ctx, record.attachments)) ctx.nameServer.stop(containerId);
  publish(ctx, network, 'disconnect', { container: containerId });
  return sandboxOf(ctx, record, { kind: 'path', path: ctx.driver.sandboxPath(containerId) });
}

/** Names follow the container's on every network it is on. */
export function renamed(ctx: Context, containerId: string, name: string): void {
  const before = ctx.sandboxes.get(containerId);
  if (before === undefined) return;
  const request = { ...before.request, containerName: name };
  const attachments = before.attachments.map(attachment => {
    const network = ctx.networks.byId(attachment.networkId);
    return network === undefined ? attachment : { ...attachment, dnsNames: dnsNamesOf(network, attachment.config, request) };
  });
  ctx.sandboxes.put({ ...before, request, attachments });
}

function sandboxFor(ctx: Context, containerId: string): SandboxRecord {
  const sandbox = ctx.sandboxes.get(containerId);
  if (sandbox === undefined) throw conflict(`container ${containerId} is not running`);
  return sandbox;
}

function checkJoin(ctx: Context, { request, attachments }: SandboxRecord, network: Network): void {
  if (request.mode.mode === 'host' || network.driver === 'host') {
    throw permissionDenied('container cannot be disconnected from host network or connected to host network');
  }
  if (request.mode.mode !== 'networks' || network.driver === 'null') {
    throw permissionDenied('container cannot be connected to multiple networks with one of the networks in private (none) mode');
  }
  if (attachments.some(attachment => attachment.networkId === network.id)) {
    throw permissionDenied(`endpoint with name ${request.containerName} already exists in network ${network.name}`);
  }
}

function freeInterfaceName(attachments: readonly Attachment[]): string {
  const used = new Set(attachments.map(({ link }) => link?.name));
  let index = 0;
  while (used.has(`eth${String(index)}`)) index++;
  return `eth${String(index)}`;
}

/** Which network gives the default route: priority first, then name. */
function byPriority(ctx: Context, attachments: readonly Attachment[]): Attachment[] {
  const nameOf = ({ networkId }: Attachment): string => ctx.networks.byId(networkId)?.name ?? '';
  return attachments.toSorted((a, b) => (b.config.gwPriority ?? 0) - (a.config.gwPriority ?? 0) || (nameOf(a) < nameOf(b) ? -1 : 1));
}

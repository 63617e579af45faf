import { conflict, notFound, permissionDenied } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { Sandbox, SandboxRequest } from '#core/network.ts';
import {
  attach,
  byPriority,
  checkPassthru,
  checkStatic,
  dnsNamesOf,
  defaultRoutesOf,
  interfaceOf,
  publishesPorts,
  releaseAttachment,
} from './attachments.ts';
import { usesInternalResolver } from './container-files.ts';
import { type Context, publish } from './context.ts';
import { applyLinks } from './links.ts';
import type { Attachment, Network, SandboxRecord } from './model.ts';
import { movePorts, planPortMove, type PortMove, reverseMove } from './move-ports.ts';
import { networkError } from './network-error.ts';
import { joinPlugins, leave, moveRemotePorts } from './plugin-endpoints.ts';
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
  const attachment = await attach(ctx, { network, config }, request, before.attachments);
  undo.defer(() => releaseAttachment(ctx, attachment));
  if (ctx.networks.byId(network.id) === undefined) throw notFound(`network ${network.name} not found`);
  checkPassthru(ctx, network, request.containerId);
  let attachments: readonly Attachment[] = byPriority(ctx, [...before.attachments, attachment]);
  undo.defer(() => ctx.sandboxes.put(before));
  if (network.plugin !== undefined) {
    const joining = { request, attachments, ports: before.ports };
    ctx.sandboxes.put(joining);
    attachments = (await joinPlugins(ctx, undo, joining)).attachments;
    ctx.driver.setDefaultRoutes(request.containerId, defaultRoutesOf(ctx, attachments));
    undo.defer(() => ctx.driver.setDefaultRoutes(request.containerId, defaultRoutesOf(ctx, before.attachments)));
  }
  const move = portMoveFor(ctx, undo, request, before, attachments);
  attachments = await moveRemotePorts(ctx, undo, request, before.attachments, attachments);
  const record: SandboxRecord = { request, attachments, ports: move.ports };
  ctx.sandboxes.put(record);
  failpoint('network.connect.recorded');
  const added = interfaceOf(network, attachment, publishesPorts(request));
  if (added !== undefined) {
    undo.defer(async () => {
      await ctx.driver.removeInterface(request.containerId, interfaceNames(attachment));
      ctx.driver.setDefaultRoutes(request.containerId, defaultRoutesOf(ctx, before.attachments));
    });
    ctx.driver.addInterface(request.containerId, added);
    ctx.driver.setDefaultRoutes(request.containerId, defaultRoutesOf(ctx, attachments));
  }
  failpoint('network.connect.attached');
  await movePorts(ctx, before.ports, move);
  undo.defer(() => movePorts(ctx, move.ports, reverseMove(before.ports, move)));
  failpoint('network.connect.published');
  const path = ctx.driver.sandboxPath(request.containerId);
  if (usesInternalResolver(ctx, record.attachments)) await ctx.nameServer.serve(request.containerId, path);
  applyLinks(ctx);
  undo.move();
  publish(ctx, network, 'connect', { container: request.containerId });
  return sandboxOf(ctx, record, { kind: 'path', path });
}

/**
 * Undefined when the container does not run. Rejects with NotFound when it is not on the network. Published ports and the default route go to
 * the next network that can have them before the interface goes.
 */
export async function disconnect(ctx: Context, containerId: string, ref: string): Promise<Sandbox | undefined> {
  const before = ctx.sandboxes.get(containerId);
  if (before === undefined) return undefined;
  const network = ctx.networks.find(ref);
  const attachment = before.attachments.find(one => one.networkId === network.id);
  if (attachment === undefined) throw notFound(`container ${containerId} is not connected to network ${network.name}`);
  if (network.driver === 'host') throw permissionDenied('container cannot be disconnected from host network or connected to host network');
  const attachments = before.attachments.filter(one => one !== attachment);
  await using undo = new AsyncDisposableStack();
  const move = planPortMove(ctx, undo, before.request, before, attachments);
  undo.move();
  const record: SandboxRecord = {
    ...before,
    attachments: await moveRemotePorts(ctx, undefined, before.request, before.attachments, attachments),
    ports: move.ports,
  };
  await movePorts(ctx, before.ports, move);
  failpoint('network.disconnect.published');
  if (network.plugin !== undefined) {
    ctx.driver.setDefaultRoutes(containerId, defaultRoutesOf(ctx, attachments));
    await leave(ctx, containerId, attachment);
  } else if (attachment.link !== undefined) {
    ctx.driver.setDefaultRoutes(containerId, defaultRoutesOf(ctx, attachments));
    await ctx.driver.removeInterface(containerId, interfaceNames(attachment));
  }
  failpoint('network.disconnect.detached');
  ctx.sandboxes.put(record);
  applyLinks(ctx);
  await releaseAttachment(ctx, attachment);
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
    return network === undefined
      ? attachment
      : { ...attachment, dnsNames: attachment.implied ? [] : dnsNamesOf(network, attachment.config, request) };
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
  const isPrivate = attachments.some(({ networkId }) => ctx.networks.byId(networkId)?.driver === 'null');
  if (request.mode.mode !== 'networks' || isPrivate || network.driver === 'null') {
    throw permissionDenied('container cannot be connected to multiple networks with one of the networks in private (none) mode');
  }
  if (attachments.some(attachment => attachment.networkId === network.id)) {
    throw permissionDenied(`endpoint with name ${request.containerName} already exists in network ${network.name}`);
  }
}

const interfaceNames = ({ link }: Attachment) => ({ hostName: link?.hostName, name: link?.name ?? '' });

function portMoveFor(
  ctx: Context,
  undo: AsyncDisposableStack,
  request: SandboxRequest,
  before: SandboxRecord,
  attachments: readonly Attachment[],
): PortMove {
  try {
    return planPortMove(ctx, undo, request, before, attachments);
  } catch (err) {
    throw networkError(request, attachments, err);
  }
}

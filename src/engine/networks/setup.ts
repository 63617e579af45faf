import { invalidArgument, notFound } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { EndpointConfig, EndpointState, NetworkMode, Sandbox, SandboxNamespace, SandboxRequest } from '#core/network.ts';
import {
  attach,
  checkPassthru,
  checkStatic,
  endpointStateOf,
  defaultRoutesOf,
  interfaceOf,
  publishesPorts,
  publishingAttachment,
  releaseAttachment,
  type Wanted,
} from './attachments.ts';
import { containerFiles, usesInternalResolver } from './container-files.ts';
import { type Context, publish } from './context.ts';
import { gatewayNetwork, withGateway } from './gateway-network.ts';
import { hasInterfaces } from './kernel-state.ts';
import { applyLinks } from './links.ts';
import type { Attachment, PublishedPorts, SandboxRecord } from './model.ts';
import { isOfPlugin, joinPlugins, lacksWayOut, moveRemotePorts } from './plugin-endpoints.ts';
import { portMapOf } from './port-map.ts';
import { HeldPorts, portRulesOf, takePorts } from './publish-ports.ts';
import { networkError } from './network-error.ts';
import { teardown } from './teardown.ts';

/** Resolves names and checks requests without changing anything; in the order in which interfaces are made. */
export function wantedNetworks(ctx: Context, mode: NetworkMode, endpoints: Readonly<Record<string, EndpointConfig>>): Wanted[] {
  if (mode.mode === 'container') return [];
  if (mode.mode !== 'networks') {
    const [network, config] = [ctx.networks.find(mode.mode), endpoints[mode.mode] ?? {}];
    checkStatic(network, config);
    return [{ network, config }];
  }
  const entries = Object.entries(endpoints);
  const asked = (entries.length === 0 ? [['bridge', {}] as const] : entries).filter(([ref]) => !isTurnedOff(ctx, ref));
  if (asked.length === 0) return [{ network: ctx.networks.find('none'), config: {} }];
  const wanted: Wanted[] = asked.map(([ref, config]) => ({ network: ctx.networks.find(ref), config }));
  const ids = new Set(wanted.map(({ network }) => network.id));
  if (ids.size < wanted.length) throw invalidArgument('Container cannot be connected to the same network twice');
  for (const { network, config } of wanted) {
    if (wanted.length > 1 && !hasInterfaces(network) && !network.configOnly) {
      throw invalidArgument(`container cannot be connected to network ${network.name} together with other networks`);
    }
    checkStatic(network, config);
  }
  return wanted.toSorted((a, b) => (b.config.gwPriority ?? 0) - (a.config.gwPriority ?? 0) || (a.network.name < b.network.name ? -1 : 1));
}

/** The default bridge where the operator wants none. */
const isTurnedOff = (ctx: Context, ref: string): boolean =>
  ctx.options.bridgeName === undefined && (ref === 'bridge' || ref === 'default') && ctx.networks.byName('bridge') === undefined;

/**
 * Order: addresses → host ports → record → namespace and interfaces → packet rules → names. The record comes before anything in the kernel, so
 * that whatever a kill leaves behind is known to the next daemon. Where a plugin makes an interface the host ports come after it: they are its business
 * if it has the default route.
 */
export async function setup(ctx: Context, request: SandboxRequest, signal: AbortSignal): Promise<Sandbox> {
  const { containerId } = request;
  if (ctx.sandboxes.get(containerId) !== undefined) await teardown(ctx, containerId);
  signal.throwIfAborted();
  const wanted = await withGateway(ctx, wantedNetworks(ctx, request.mode, request.endpoints));
  await using undo = new AsyncDisposableStack();
  undo.defer(() => ctx.sandboxes.delete(containerId));
  const attachments: Attachment[] = [];
  undo.defer(async () => {
    for (const attachment of attachments) await releaseAttachment(ctx, attachment);
  });
  for (const one of wanted) {
    attachments.push(await attach(ctx, one, request, attachments));
    // Others would not know of an address that a plugin gave.
    if (one.network.ipam.driver !== 'default') ctx.sandboxes.put({ request, attachments: [...attachments], ports: [] });
  }
  checkStillFree(ctx, wanted, containerId);
  const waitsForPlugins = attachments.some(one => isOfPlugin(ctx, one));
  let ports: readonly PublishedPorts[] = [];
  try {
    if (!waitsForPlugins) ports = holdPorts(ctx, undo, request, attachments);
  } catch (err) {
    throw networkError(request, attachments, err);
  }
  let record: SandboxRecord = { request, attachments: [...attachments], ports };
  failpoint('network.setup.allocated');

  ctx.sandboxes.put(record);
  failpoint('network.setup.recorded');

  try {
    const namespace = await makeNamespace(ctx, undo, record);
    failpoint('network.setup.attached');
    if (waitsForPlugins) record = await completePlugins(ctx, undo, record);
    publishPorts(ctx, undo, record);
    undo.defer(() => applyLinks(ctx));
    applyLinks(ctx);
    failpoint('network.setup.published');
    if (namespace.kind === 'path' && usesInternalResolver(ctx, record.attachments)) {
      await ctx.nameServer.serve(containerId, namespace.path);
      undo.defer(() => ctx.nameServer.stop(containerId));
    }
    const sandbox = sandboxOf(ctx, record, namespace);
    failpoint('network.setup.done');
    undo.move();
    for (const { network } of wanted) publish(ctx, network, 'connect', { container: containerId });
    return sandbox;
  } catch (err) {
    throw networkError(request, record.attachments, err);
  }
}

/** Who waits for addresses may have waited while a network was removed or its only place was taken. From here to the record nobody comes in between. */
function checkStillFree(ctx: Context, wanted: readonly Wanted[], containerId: string): void {
  for (const { network } of wanted) {
    if (ctx.networks.byId(network.id) === undefined) throw notFound(`network ${network.name} not found`);
    checkPassthru(ctx, network, containerId);
  }
}

/** What plugins make, the way out that they do not give, and the ports that go with it. */
async function completePlugins(ctx: Context, undo: AsyncDisposableStack, before: SandboxRecord): Promise<SandboxRecord> {
  const { request } = before;
  let record = await joinPlugins(ctx, undo, before);
  if (lacksWayOut(ctx, record.attachments)) record = await addGateway(ctx, undo, record);
  ctx.driver.setDefaultRoutes(request.containerId, defaultRoutesOf(ctx, record.attachments));
  const attachments = await moveRemotePorts(ctx, undo, request, [], record.attachments);
  record = { ...record, attachments, ports: holdPorts(ctx, undo, request, attachments) };
  ctx.sandboxes.put(record);
  return record;
}

/** The bridge by which containers leave whose networks lead nowhere. */
async function addGateway(ctx: Context, undo: AsyncDisposableStack, before: SandboxRecord): Promise<SandboxRecord> {
  const { request } = before;
  const network = await gatewayNetwork(ctx);
  const attachment = await attach(ctx, { network, config: {}, implied: true }, request, before.attachments);
  undo.defer(() => releaseAttachment(ctx, attachment));
  const record = { ...before, attachments: [...before.attachments, attachment] };
  ctx.sandboxes.put(record);
  const added = interfaceOf(network, attachment, publishesPorts(request));
  if (added !== undefined) ctx.driver.addInterface(request.containerId, added);
  return record;
}

export function sandboxOf(ctx: Context, record: SandboxRecord, namespace: SandboxNamespace): Sandbox {
  const { request, attachments, ports } = record;
  const endpoints: Record<string, EndpointState> = {};
  for (const attachment of attachments) {
    if (attachment.implied) continue;
    endpoints[ctx.networks.byId(attachment.networkId)?.name ?? attachment.networkId] = endpointStateOf(attachment);
  }
  const told = attachments.flatMap(({ joined }) => Object.entries(joined?.ports ?? {}));
  const published = request.mode.mode === 'networks' ? { ...portMapOf(request, ports), ...Object.fromEntries(told) } : {};
  return { namespace, endpoints, ports: published, ...containerFiles(ctx, request, attachments) };
}

function holdPorts(
  ctx: Context,
  undo: AsyncDisposableStack,
  request: SandboxRequest,
  attachments: readonly Attachment[],
): readonly PublishedPorts[] {
  const target = publishingAttachment(ctx, attachments);
  if (target?.link === undefined || request.mode.mode !== 'networks') return [];
  const held = undo.use(new HeldPorts(ctx, target.link));
  takePorts(ctx, held, request, ctx.networks.byId(target.networkId)?.bridge);
  return held.ports;
}

async function makeNamespace(ctx: Context, undo: AsyncDisposableStack, { request, attachments }: SandboxRecord): Promise<SandboxNamespace> {
  if (request.mode.mode === 'host') return { kind: 'host' };
  const interfaces = attachments.flatMap(attachment => {
    const network = ctx.networks.byId(attachment.networkId);
    return network === undefined ? [] : (interfaceOf(network, attachment, publishesPorts(request)) ?? []);
  });
  if (interfaces.length === 0 && !attachments.some(one => isOfPlugin(ctx, one))) return { kind: 'new' };
  undo.defer(() => void ctx.driver.removeSandbox(request.containerId));
  const made = await ctx.driver.createSandbox(request.containerId, interfaces, defaultRoutesOf(ctx, attachments), request.userNamespace);
  return { kind: 'path', ...made };
}

function publishPorts(ctx: Context, undo: AsyncDisposableStack, { attachments, ports }: SandboxRecord): void {
  const target = publishingAttachment(ctx, attachments);
  if (target?.link === undefined || ports.length === 0) return;
  const rules = portRulesOf(ctx, ports, target);
  ctx.firewall.publish(rules);
  undo.defer(() => ctx.firewall.unpublish(rules));
}

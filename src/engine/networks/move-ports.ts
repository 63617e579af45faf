import type { SandboxRequest } from '#core/network.ts';
import { publishingAttachment } from './attachments.ts';
import type { Context } from './context.ts';
import type { AttachedLink, Attachment, PublishedPort } from './model.ts';
import { HeldPorts, listenerOf, portRulesOf, releasePorts, takePorts } from './publish-ports.ts';

/** Published ports follow the default route: what happens to them when a container's networks change. */
export interface PortMove {
  readonly ports: readonly PublishedPort[];
  readonly from: AttachedLink | undefined;
  readonly to: AttachedLink | undefined;
}

/**
 * Decides what happens to published ports, and takes the ports of a container that had no network to carry them. Ports that are held keep their
 * numbers. `undo` lets go of what was taken. Throws Conflict.
 */
export function planPortMove(
  ctx: Context,
  undo: AsyncDisposableStack,
  request: SandboxRequest,
  before: { readonly attachments: readonly Attachment[]; readonly ports: readonly PublishedPort[] },
  after: readonly Attachment[],
): PortMove {
  const from = publishingAttachment(ctx, before.attachments)?.link;
  const target = publishingAttachment(ctx, after);
  const to = target?.link;
  if (to === undefined || before.ports.length > 0) return { ports: to === undefined ? [] : before.ports, from, to };
  const held = undo.use(new HeldPorts(ctx, to));
  takePorts(ctx, held, request, ctx.networks.byId(target?.networkId ?? '')?.bridge?.hostBindingIpv4 ?? '');
  return { ports: held.ports, from: undefined, to };
}

/** Does what was decided. Between the two sets of rules the port proxy accepts, so nobody is refused. `held`: the ports before. */
export async function movePorts(ctx: Context, held: readonly PublishedPort[], { ports, from, to }: PortMove): Promise<void> {
  if (from !== undefined && to !== undefined && from.hostName === to.hostName) return;
  if (from !== undefined && to !== undefined) {
    ctx.hostPorts.redirect(held.map(port => ({ from: listenerOf(port, from), to: listenerOf(port, to) })));
  }
  if (from !== undefined && held.length > 0) ctx.firewall.unpublish(portRulesOf(held, from));
  if (to !== undefined && ports.length > 0) ctx.firewall.publish(portRulesOf(ports, to));
  if (from !== undefined && to === undefined) await releasePorts(ctx, held, from);
}

/** The move that undoes this one. */
export const reverseMove = (held: readonly PublishedPort[], { from, to }: PortMove): PortMove => ({ ports: held, from: to, to: from });

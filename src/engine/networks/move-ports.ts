import type { SandboxRequest } from '#core/network.ts';
import { publishingAttachment } from './attachments.ts';
import type { Context } from './context.ts';
import type { Attachment, PublishedPorts } from './model.ts';
import { HeldPorts, listenersOf, portRulesOf, releasePorts, takePorts } from './publish-ports.ts';

/** Published ports follow the default route: what happens to them when a container's networks change. */
export interface PortMove {
  readonly ports: readonly PublishedPorts[];
  readonly from: Attachment | undefined;
  readonly to: Attachment | undefined;
}

/**
 * Decides what happens to published ports, and takes the ports of a container that had no network to carry them. Ports that are held keep their
 * numbers. `undo` lets go of what was taken. Throws Conflict.
 */
export function planPortMove(
  ctx: Context,
  undo: AsyncDisposableStack,
  request: SandboxRequest,
  before: { readonly attachments: readonly Attachment[]; readonly ports: readonly PublishedPorts[] },
  after: readonly Attachment[],
): PortMove {
  const from = publishingAttachment(ctx, before.attachments);
  const to = publishingAttachment(ctx, after);
  if (to?.link === undefined || before.ports.length > 0) return { ports: to === undefined ? [] : before.ports, from, to };
  const held = undo.use(new HeldPorts(ctx, to.link));
  takePorts(ctx, held, request, ctx.networks.byId(to.networkId)?.bridge);
  return { ports: held.ports, from: undefined, to };
}

/** Does what was decided. Between the two sets of rules the port proxy accepts, so nobody is refused. `held`: the ports before. */
export async function movePorts(ctx: Context, held: readonly PublishedPorts[], { ports, from, to }: PortMove): Promise<void> {
  if (from !== undefined && to !== undefined && from.endpointId === to.endpointId) return;
  const [left, entered] = [from?.link, to?.link];
  if (left !== undefined && entered !== undefined) {
    const now = listenersOf(held, entered);
    ctx.hostPorts.redirect(listenersOf(held, left).flatMap((from, index) => (now[index] === undefined ? [] : [{ from, to: now[index] }])));
  }
  if (from !== undefined && held.length > 0) ctx.firewall.unpublish(portRulesOf(ctx, held, from));
  if (to !== undefined && ports.length > 0) ctx.firewall.publish(portRulesOf(ctx, ports, to));
  if (left !== undefined && entered === undefined) await releasePorts(ctx, held, left);
}

/** The move that undoes this one. */
export const reverseMove = (held: readonly PublishedPorts[], { from, to }: PortMove): PortMove => ({ ports: held, from: to, to: from });

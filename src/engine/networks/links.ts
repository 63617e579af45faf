import type { LinkRule } from '#core/firewall.ts';
import { expandPorts, parsePortRange } from '#core/port-ranges.ts';
import type { Context } from './context.ts';
import type { SandboxRecord } from './model.ts';

/** Lets linked containers reach each other where the default bridge does not let everybody. Call it when sandboxes have changed. */
export function applyLinks(ctx: Context): void {
  ctx.firewall.setLinks(linkRules(ctx));
}

/** Every link between containers that have a sandbox, port by port. */
export function linkRules(ctx: Context): LinkRule[] {
  const bridge = ctx.networks.list().find(network => network.predefined && network.bridge !== undefined);
  if (bridge?.bridge?.icc !== false) return [];
  const addressOf = ({ attachments }: SandboxRecord): string | undefined =>
    attachments.find(({ networkId }) => networkId === bridge.id)?.link?.ipv4?.address;
  return ctx.sandboxes.list().flatMap(record => {
    const from = addressOf(record);
    return (record.request.linkedContainers ?? []).flatMap(id => {
      const target = ctx.sandboxes.get(id);
      const to = target === undefined ? undefined : addressOf(target);
      if (from === undefined || to === undefined || target === undefined) return [];
      const { exposedPorts, portBindings } = target.request;
      const open = new Set(expandPorts([...exposedPorts, ...Object.keys(portBindings)]));
      return [...open].flatMap(key => {
        const range = parsePortRange(key);
        return range === undefined ? [] : [{ from, to, protocol: range.protocol, port: range.first }];
      });
    });
  });
}

/** The links of a container are others now. */
export function relink(ctx: Context, containerId: string, linkedContainers: readonly string[]): void {
  const record = ctx.sandboxes.get(containerId);
  if (record === undefined) return;
  ctx.sandboxes.put({ ...record, request: { ...record.request, linkedContainers } });
  applyLinks(ctx);
}

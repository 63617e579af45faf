import { interfaceOf, publishesPorts } from './attachments.ts';
import type { Context } from './context.ts';
import { egressMtu } from './kernel-state.ts';
import type { Network } from './model.ts';
import { putLinks } from './network-links.ts';
import { optionName } from './option-values.ts';
import { smallestMtu, tunnelBytes } from './overlay-peers.ts';

/** Makes packets of networks whose size nobody chose as large as the host's way out carries, those of running containers too. */
export function followMtu(ctx: Context): void {
  const egress = egressMtu(ctx);
  for (const network of ctx.networks.list()) {
    const { bridge, overlay } = network;
    if (bridge?.mtuFollows !== true) continue;
    const mtu = overlay === undefined ? egress : Math.max(egress - tunnelBytes(overlay), smallestMtu);
    if (mtu === bridge.mtu) continue;
    const changed: Network = {
      ...network,
      bridge: { ...bridge, mtu },
      ...(network.predefined ? { options: { ...network.options, [optionName.mtu]: String(mtu) } } : {}),
    };
    ctx.networks.put(changed);
    putLinks(ctx, changed);
    for (const { sandbox, attachment } of ctx.sandboxes.on(network.id)) {
      const wanted = interfaceOf(changed, attachment, publishesPorts(sandbox.request));
      if (wanted !== undefined) ctx.driver.setMtu(sandbox.request.containerId, wanted);
    }
    ctx.log.info('the size of packets of a network follows the way out', { network: network.name, mtu });
  }
}

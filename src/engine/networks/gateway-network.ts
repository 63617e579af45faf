import { kindOf } from '#base/errors.ts';
import type { Wanted } from './attachments.ts';
import type { Context } from './context.ts';
import { createNetwork } from './create.ts';
import { leadsOut } from './kernel-state.ts';
import type { Network } from './model.ts';
import { optionName } from './option-values.ts';
import { gatewayNetworkName } from './predefined.ts';

/** A container on overlay networks only has no way out by them: it gets one through a bridge network that all of those share (Docker's name for it). */
export async function withGateway(ctx: Context, wanted: readonly Wanted[]): Promise<readonly Wanted[]> {
  const networks = wanted.map(({ network }) => network);
  if (!networks.some(({ overlay, internal }) => overlay !== undefined && !internal) || networks.some(leadsOut)) return wanted;
  return [...wanted, { network: await gatewayNetwork(ctx), config: {}, implied: true }];
}

/** Made when the first container needs it. */
export async function gatewayNetwork(ctx: Context): Promise<Network> {
  const known = ctx.networks.byName(gatewayNetworkName);
  if (known !== undefined) return known;
  try {
    return await makeGatewayNetwork(ctx);
  } catch (err) {
    // Somebody else needed it at the same time.
    const made = ctx.networks.byName(gatewayNetworkName);
    if (made !== undefined && kindOf(err) === 'AlreadyExists') return made;
    throw err;
  }
}

function makeGatewayNetwork(ctx: Context): Promise<Network> {
  return createNetwork(ctx, {
    name: gatewayNetworkName,
    driver: 'bridge',
    enableIpv4: true,
    enableIpv6: false,
    internal: false,
    attachable: false,
    configOnly: false,
    configFrom: '',
    ipam: { driver: '', options: {}, pools: [] },
    options: { [optionName.icc]: 'false', [optionName.masquerade]: 'true' },
    labels: {},
  });
}

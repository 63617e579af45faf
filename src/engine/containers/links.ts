import { failedPrecondition, invalidArgument, kindOf, messageOf } from '#base/errors.ts';
import type { Context } from './context.ts';
import type { Entry } from './entry.ts';
import type { Container } from './model.ts';
import { defaultNetwork } from './network-request.ts';
import { isRunning } from './state.ts';

/** Links of the default bridge, which resolves no names: the other container gets its names in the hosts file. Elsewhere the resolver knows them. */
const linksOf = ({ hostConfig }: Pick<Container, 'hostConfig'>): readonly (readonly [target: string, alias: string])[] =>
  hostConfig.networkMode !== defaultNetwork
    ? []
    : hostConfig.links.map(link => {
        const [target = '', alias = target] = link.replace(/^\//, '').split(':');
        return [target, alias.slice(alias.lastIndexOf('/') + 1)] as const;
      });

/** Rejects with InvalidArgument when a link leads to no container. */
export function checkLinks(ctx: Context, container: Pick<Container, 'hostConfig'>): void {
  for (const [target] of linksOf(container)) linked(ctx, target);
}

/** `names:address` of every linked container, as extra hosts are given. Rejects with FailedPrecondition when one does not run. */
export function linkedHosts(ctx: Context, container: Container): string[] {
  return linksOf(container).flatMap(([target, alias]) => {
    const { container: other } = linked(ctx, target);
    if (!isRunning(other.state)) {
      throw failedPrecondition(`Cannot link to a non running container: /${other.name} AS /${container.name}/${alias}`);
    }
    const address = other.endpointStates[defaultNetwork]?.ipAddress ?? '';
    const names = [...new Set([alias, other.config.hostname, other.name])].join(' ');
    return address === '' ? [] : [`${names}:${address}`];
  });
}

function linked(ctx: Context, target: string): Entry {
  try {
    return ctx.containers.find(target);
  } catch (err) {
    if (kindOf(err) !== 'NotFound') throw err;
    throw invalidArgument(`could not get container for ${target}: ${messageOf(err)}`, { cause: err });
  }
}

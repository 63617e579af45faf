import { messageOf } from '#base/errors.ts';
import type { NetworkChange } from '#core/network-watch.ts';
import { defaultRoutesOf, interfaceOf, publishesPorts } from './attachments.ts';
import type { Context } from './context.ts';
import { openWay } from './create.ts';
import { followMtu } from './follow-mtu.ts';
import type { Network, SandboxRecord } from './model.ts';
import { putLinks } from './network-links.ts';
import { renewEncryption } from './overlay-peers.ts';

/** What belongs together arrives together: whoever takes a bridge away tells of each of its ports as well. */
const collectMs = 100;

/** Puts right what others do to links and packet rules of ours while the daemon runs, and says what it was. */
export function watchKernel(ctx: Context): Disposable {
  let links = new Set<string>();
  let tables = new Set<string>();
  let routes = false;
  let encryption = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  // To ask the kernel at every change of somebody's link would cost too much.
  let wayOut = ctx.driver.egress()?.name;
  const changed = (change: NetworkChange): void => {
    if (change.kind === 'rules') {
      const { own, others } = ctx.firewall.concerns(change.tables);
      if (!own && !others) return;
      for (const table of change.tables) tables.add(table);
    } else if (change.kind === 'route') routes = true;
    else if (change.kind === 'encryption') encryption = true;
    else if (isOurs(ctx, change.name)) links.add(change.name);
    else if (change.name === wayOut) routes = true;
    else return;
    timer ??= setTimeout(() => void run(), collectMs);
    timer.unref();
  };
  const run = async (): Promise<void> => {
    const [suspects, changedTables, routesChanged, encryptionChanged] = [links, [...tables], routes, encryption];
    timer = undefined;
    links = new Set();
    tables = new Set();
    routes = false;
    encryption = false;
    try {
      // First of all: what is not encrypted must not leave.
      const renewed = routesChanged || encryptionChanged ? renewEncryption(ctx) : [];
      watchEncryption();
      const repaired = [...(encryptionChanged ? renewed : []), ...(await mendLinks(ctx, suspects)), ...mendRules(ctx, changedTables)];
      if (repaired.length > 0) ctx.log.warn('repaired what somebody else had changed', { repaired: repaired.join('; ') });
      if (routesChanged) {
        wayOut = ctx.driver.egress()?.name;
        followMtu(ctx);
      }
    } catch (err) {
      ctx.log.error('what somebody else had changed could not be repaired', { error: messageOf(err) });
    }
  };
  const watching = new DisposableStack();
  let watchesEncryption = false;
  /** Once there is something to watch; a new network's links are heard of. */
  const watchEncryption = (): void => {
    if (watchesEncryption || watching.disposed || !ctx.networks.list().some(({ overlay }) => overlay?.encryption !== undefined)) return;
    watchesEncryption = true;
    watching.use(ctx.watch.watchEncryption(changed));
  };
  watching.use(ctx.watch.watch(changed));
  watchEncryption();
  return {
    [Symbol.dispose]() {
      watching.dispose();
      clearTimeout(timer);
    },
  };
}

const linksOf = ({ bridge, parent, overlay }: Network): (string | undefined)[] => [bridge?.name, overlay?.link, parent?.link.name];

const isOurs = (ctx: Context, name: string): boolean =>
  ctx.networks.list().some(network => linksOf(network).includes(name)) || ctx.sandboxes.byHostName(name) !== undefined;

/** Networks first: their containers' interfaces need them. */
async function mendLinks(ctx: Context, suspects: ReadonlySet<string>): Promise<string[]> {
  if (suspects.size === 0) return [];
  const repaired: string[] = [];
  const affected = new Set<string>();
  for (const network of ctx.networks.list()) {
    if (!linksOf(network).some(name => name !== undefined && suspects.has(name))) continue;
    const { made, raised } = putLinks(ctx, network);
    repaired.push(...raised.map(name => `${name} of network ${network.name}, which was down`));
    if (made.length === 0) continue;
    repaired.push(`${made.join(' and ')} of network ${network.name}, which was gone`);
    for (const { sandbox } of ctx.sandboxes.on(network.id)) affected.add(sandbox.request.containerId);
  }
  for (const name of suspects) {
    const sandbox = ctx.sandboxes.byHostName(name);
    if (sandbox !== undefined) affected.add(sandbox.request.containerId);
  }
  for (const containerId of affected) repaired.push(...(await ctx.locks.run(containerId, () => mendContainer(ctx, containerId))));
  return repaired;
}

/** Under the container's lock: whoever sets it up or takes it down has finished. */
function mendContainer(ctx: Context, containerId: string): Promise<string[]> {
  const sandbox = ctx.sandboxes.get(containerId);
  return Promise.resolve(sandbox === undefined ? [] : mendInterfaces(ctx, sandbox));
}

function mendInterfaces(ctx: Context, { request, attachments }: SandboxRecord): string[] {
  const repaired: string[] = [];
  for (const attachment of attachments) {
    const network = ctx.networks.byId(attachment.networkId);
    const wanted = network === undefined ? undefined : interfaceOf(network, attachment, publishesPorts(request));
    if (network === undefined || wanted === undefined || !ctx.driver.mendInterface(request.containerId, wanted)) continue;
    repaired.push(`interface ${wanted.name} of container ${request.containerName} on network ${network.name}`);
  }
  if (repaired.length > 0) ctx.driver.setDefaultRoutes(request.containerId, defaultRoutesOf(ctx, attachments));
  return repaired;
}

/** Whoever makes his rules anew may have taken ours out of his chains, or have a new one that does not know our bridges. */
function mendRules(ctx: Context, tables: readonly string[]): string[] {
  const { own, others } = ctx.firewall.concerns(tables);
  const repaired = own ? ctx.firewall.mend() : [];
  if (others) for (const network of ctx.networks.list()) openWay(ctx, network);
  return repaired;
}

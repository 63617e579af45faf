import { writeFileSync } from 'node:fs';
import { conflict, kindOf, notFound, permissionDenied } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { EndpointConfig, Sandbox } from '#core/network.ts';
import { type Context, containerDir, withContainer } from './context.ts';
import type { Entry } from './entry.ts';
import { linkedContainers } from './links.ts';
import { parseNetworkMode, sandboxRequest } from './network-request.ts';
import { isActive, isRunning } from './state.ts';

/** Joins a container to one more network: at once when it runs, else with its next start. */
export async function connectNetwork(
  ctx: Context,
  ref: string,
  network: string,
  endpoint: EndpointConfig,
  signal: AbortSignal,
): Promise<void> {
  await withContainer(ctx, ref, async entry => {
    const { container } = entry;
    const { mode } = parseNetworkMode(container.hostConfig.networkMode);
    if (mode === 'container' || mode === 'host') {
      throw permissionDenied('container sharing network namespace with another container or host cannot be connected to any other network');
    }
    if (mode === 'none') {
      throw permissionDenied('container cannot be connected to multiple networks with one of the networks in private (none) mode');
    }
    if (container.state.status === 'removing' || container.state.status === 'dead') {
      throw conflict('container is marked for removal and cannot be connected or disconnected to the network');
    }
    const [found] = ctx.networks.check({ mode: 'networks' }, { [network]: endpoint });
    if (found === undefined) throw notFound(`network ${network} not found`);
    if (container.endpoints[found.name] !== undefined) {
      throw permissionDenied(`endpoint with name ${container.name} already exists in network ${found.name}`);
    }
    if (found.driver === 'host') {
      throw permissionDenied('container cannot be disconnected from host network or connected to host network');
    }
    if (found.driver === 'null') {
      throw permissionDenied('container cannot be connected to multiple networks with one of the networks in private (none) mode');
    }
    const endpoints = { ...container.endpoints, [found.name]: endpoint };
    ctx.networks.check({ mode: 'networks' }, endpoints);
    if (isRunning(container.state)) {
      applySandbox(
        ctx,
        entry,
        await ctx.networks.connect(sandboxRequest({ ...container, endpoints }, linkedContainers(ctx, container)), found.name, signal),
      );
    }
    failpoint('container.connect.joined');
    container.endpoints = endpoints;
    ctx.containers.save(entry);
  });
}

export async function disconnectNetwork(ctx: Context, ref: string, network: string, force: boolean): Promise<void> {
  try {
    await disconnect(ctx, ref, network);
  } catch (err) {
    // A container that is gone may have left its endpoint behind.
    if (!force || kindOf(err) !== 'NotFound') throw err;
    const [found] = ctx.networks.check({ mode: 'networks' }, { [network]: {} });
    if ((await ctx.networks.disconnect(ref, found?.name ?? network)) === undefined) throw notFound(`endpoint ${ref} not found`);
  }
}

async function disconnect(ctx: Context, ref: string, network: string): Promise<void> {
  await withContainer(ctx, ref, async entry => {
    const { container } = entry;
    if (parseNetworkMode(container.hostConfig.networkMode).mode === 'host') {
      throw permissionDenied('container cannot be disconnected from host network or connected to host network');
    }
    const [found] = ctx.networks.check({ mode: 'networks' }, { [network]: {} });
    const name = found?.name ?? network;
    if (container.endpoints[name] === undefined) {
      throw permissionDenied(`container ${entry.id} is not connected to network ${name}`);
    }
    // The record goes first: whatever the network still has of it then is taken away by the next daemon.
    const before = container.endpoints;
    container.endpoints = Object.fromEntries(Object.entries(before).filter(([key]) => key !== name));
    ctx.containers.save(entry);
    failpoint('container.disconnect.recorded');
    try {
      if (isActive(container.state)) applySandbox(ctx, entry, await ctx.networks.disconnect(entry.id, name));
    } catch (err) {
      container.endpoints = before;
      throw err;
    } finally {
      ctx.containers.save(entry);
    }
  });
}

/** The container keeps its files while it runs, so they are rewritten in place: inside they are mounts of these very files. */
export function applySandbox(ctx: Context, entry: Entry, sandbox: Sandbox | undefined): void {
  if (sandbox === undefined) return;
  const { container } = entry;
  container.endpointStates = sandbox.endpoints;
  container.ports = sandbox.ports;
  const directory = containerDir(ctx, container.id);
  writeFileSync(`${directory}/hosts`, sandbox.hosts);
  writeFileSync(`${directory}/resolv.conf`, sandbox.resolvConf);
  ctx.containers.save(entry);
}

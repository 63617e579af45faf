import { messageOf, notFound } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { type NetworkPlugins, PluginFailure, type RemoteIpam } from '#core/network-plugins.ts';
import type { PluginClient } from '../plugins/client.ts';
import type { PluginPlaces } from '../plugins/discovery.ts';
import { GreetedPlugins } from '../plugins/greeted.ts';
import { type CallTimes, PluginCalls, usualTimes } from './plugin-call.ts';
import { createRemoteDriver, type DiscoveringDriver, networkCapabilities } from './remote-driver.ts';
import { createRemoteIpam } from './remote-ipam.ts';

const networkInterface = 'NetworkDriver';
const ipamInterface = 'IpamDriver';

/** Plugins that speak Docker's protocols for networks and addresses, found where Docker finds plugins. One process may speak both. */
export function createNetworkPlugins(
  places: PluginPlaces,
  {
    hostAddress,
    log,
    times = usualTimes,
  }: {
    /** By which other hosts know this one; undefined: by none. */
    readonly hostAddress: () => string | undefined;
    readonly log: Logger;
    readonly times?: CallTimes;
  },
): NetworkPlugins & { names(): { readonly networks: readonly string[] } } {
  /** What drivers whose networks reach other hosts were told of this one. */
  const announced = new WeakMap<DiscoveringDriver, string>();
  const announce = async (driver: DiscoveringDriver): Promise<void> => {
    const [before, now] = [announced.get(driver), hostAddress()];
    if (driver.connects !== 'global' || now === undefined || before === now) return;
    announced.set(driver, now);
    try {
      if (before !== undefined) await driver.discover('delete', before);
      await driver.discover('new', now);
    } catch (err) {
      log.warn('a plugin could not be told of this host', { plugin: driver.name, error: messageOf(err) });
    }
  };
  const networks = new GreetedPlugins<DiscoveringDriver>(places, async (client, isPatient) => {
    const calls = await greet(client, networkInterface, times, isPatient);
    return calls && createRemoteDriver(calls, await networkCapabilities(calls));
  });
  const ipams = new GreetedPlugins<RemoteIpam>(places, async (client, isPatient) => {
    const calls = await greet(client, ipamInterface, times, isPatient);
    return calls && (await createRemoteIpam(calls));
  });
  return {
    async network(name, { isPatient = true } = {}) {
      const found = await networks.find(name, isPatient);
      if (found === undefined) throw notFound(`could not find plugin ${name} in v1 plugin registry: plugin not found`);
      await announce(found);
      return found;
    },
    async ipam(name, { isPatient = true } = {}) {
      const found = await ipams.find(name, isPatient);
      if (found === undefined) throw notFound(`could not find ipam plugin ${name}: plugin not found`);
      return found;
    },
    names: () => ({ networks: networks.names() }),
  };
}

/** Undefined when the plugin is for something else. */
async function greet(client: PluginClient, wanted: string, times: CallTimes, isPatient: boolean): Promise<PluginCalls | undefined> {
  const calls = new PluginCalls(client, wanted, times);
  try {
    const interfaces = await client.interfaces({ timeoutMs: calls.greetingMs, isPatient });
    return interfaces.includes(wanted) ? calls : undefined;
  } catch (err) {
    throw err instanceof PluginFailure ? err : calls.failure(err);
  }
}

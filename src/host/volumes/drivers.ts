import { EngineError, kindOf, messageOf, notFound } from '#base/errors.ts';
import type { VolumeCatalogue, VolumeDriver, VolumeDrivers } from '#core/volume-driver.ts';
import { PluginClient } from '../plugins/client.ts';
import { findPlugin, type PluginAddress, pluginNames, type PluginPlaces } from '../plugins/discovery.ts';
import { createPluginDriver, scopeOf } from './plugin-driver.ts';

const volumeInterface = 'VolumeDriver';
const activationMs = 10_000;
/** Lists do not wait for a plugin that hangs. */
const listActivationMs = 2000;

type PluginDriver = VolumeDriver & { readonly catalogue: VolumeCatalogue };

/** The local driver, and those of plugins that are found when they are asked for. A plugin is greeted once, and again after it did not answer or has moved. */
export function createVolumeDrivers(local: VolumeDriver, places: PluginPlaces): VolumeDrivers & { names(): string[] } {
  const volumePlugins = new Set<string>();
  const known = new Map<string, { readonly address: PluginAddress; readonly driver: Promise<PluginDriver | undefined> }>();

  const driverOf = async (name: string, timeoutMs: number): Promise<PluginDriver | undefined> => {
    const address = findPlugin(places, name);
    if (address === undefined) return undefined;
    const before = known.get(name);
    if (before !== undefined && Bun.deepEquals(before.address, address)) return await before.driver;
    const driver = greet(new PluginClient(address), timeoutMs);
    const entry = { address, driver };
    known.set(name, entry);
    try {
      const found = await driver;
      if (found === undefined) volumePlugins.delete(name);
      else volumePlugins.add(name);
      return found;
    } catch (err) {
      if (known.get(name) === entry) known.delete(name);
      throw err;
    }
  };

  return {
    async find(name) {
      if (name === local.name) return local;
      let driver: PluginDriver | undefined;
      try {
        driver = await driverOf(name, activationMs);
      } catch (err) {
        throw new EngineError(kindOf(err), `error looking up volume plugin ${name}: ${messageOf(err)}`, { cause: err });
      }
      if (driver !== undefined) return driver;
      throw notFound(`error looking up volume plugin ${name}: plugin "${name}" not found`);
    },
    async catalogues(onFailure) {
      const found = await Promise.all(
        pluginNames(places).map(async name => {
          try {
            return await driverOf(name, listActivationMs);
          } catch (err) {
            onFailure(name, err);
            return undefined;
          }
        }),
      );
      return found.filter(driver => driver !== undefined);
    },
    names: () => [local.name, ...[...volumePlugins].filter(name => findPlugin(places, name) !== undefined).toSorted()],
  };
}

/** Undefined when the plugin is for something else. */
async function greet(plugin: PluginClient, timeoutMs: number): Promise<PluginDriver | undefined> {
  const interfaces = await plugin.interfaces({ timeoutMs, isPatient: timeoutMs >= activationMs });
  return interfaces.includes(volumeInterface) ? createPluginDriver(plugin, await scopeOf(plugin)) : undefined;
}

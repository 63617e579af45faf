import { EngineError, messageOf, unavailable } from '#base/errors.ts';
import { silentLogger } from '#base/log.ts';
import type { CollectReport } from '#registry/collect/collector.ts';
import { claimStorage, controlSocket, openRegistry } from './registry-open.ts';
import type { RegistryServerOptions } from './registry-options.ts';

/** Collects on a storage, through the registry that runs on it if there is one. What was done, in words. */
export async function collectRegistry(options: RegistryServerOptions, dryRun: boolean): Promise<string> {
  using claim = claimStorage(options.storage);
  const { graceMs, untagged } = options.gc;
  const request = { graceMs, untagged, dryRun };
  if (claim === undefined) return describe(await askRunning(controlSocket(options.storage), request), dryRun);
  await using registry = await openRegistry(options, silentLogger);
  return describe(await registry.collect(request), dryRun);
}

async function askRunning(socket: string, request: object): Promise<CollectReport> {
  try {
    const response = await fetch('http://registry/collect', {
      method: 'POST',
      body: JSON.stringify(request),
      unix: socket,
      timeout: false,
    });
    if (!response.ok) throw unavailable(`the registry that runs could not collect: ${await response.text()}`);
    return (await response.json()) as CollectReport;
  } catch (err) {
    if (err instanceof EngineError) throw err;
    throw unavailable(`another process works on the storage, and does not answer at ${socket}: ${messageOf(err)}`, { cause: err });
  }
}

function describe({ repositories, manifests, links, blobs, bytes }: CollectReport, dryRun: boolean): string {
  const verb = dryRun ? 'would remove' : 'removed';
  const megabytes = (bytes / 1e6).toFixed(1);
  return `${String(repositories)} repositories looked at: ${verb} ${String(manifests)} manifests, ${String(links)} links and ${String(blobs)} blobs (${megabytes} MB)`;
}

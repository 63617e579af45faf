import { chmodSync, readFileSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { failedPrecondition, messageOf } from '#base/errors.ts';
import { newId, shortId } from '#base/id.ts';
import { createLogger, type Logger } from '#base/log.ts';
import { AuditLog } from '#registry/audit.ts';
import type { CollectRequest } from '#registry/collect/collector.ts';
import { Notifier } from '#registry/events/notifier.ts';
import { Handler } from '#registry/handler.ts';
import { Listener, type TlsFiles } from '#registry/listener.ts';
import { Metrics } from '#registry/metrics.ts';
import type { Registry } from '#registry/registry.ts';
import { openAuth } from './registry-auth.ts';
import { alreadyServed, claimStorage, controlSocket, openRegistry, stateFolder } from './registry-open.ts';
import type { Address, RegistryServerOptions } from './registry-options.ts';
import { productVersion } from './version.ts';

/** Serves until SIGTERM or SIGINT. */
export async function serveRegistry(options: RegistryServerOptions, notices: readonly string[]): Promise<void> {
  const log = createLogger({ ...options.log, write: line => process.stderr.write(line) });
  const stop = stopSignal();
  for (const notice of notices) log.info('a setting has no effect', { what: notice });
  const tls = readTls(options);
  using claim = claimStorage(options.storage);
  if (claim === undefined) throw alreadyServed(options.storage);
  const auth = await openAuth(options.auth, { stateFolder: stateFolder(options.storage), externalUrl: options.externalUrl }, log);
  warnOfStrangers(options, log);
  await using registry = await openRegistry(options, log, auth);
  using audit =
    options.auditPath === undefined
      ? undefined
      : new AuditLog(options.auditPath, err => log.error('the audit log cannot be written', { error: err }));
  const metrics = new Metrics();
  const notifier = new Notifier(options.endpoints, log);
  measure(metrics, registry, notifier);
  const handler = new Handler({
    services: registry.services,
    metrics,
    notifier,
    includeReferences: options.includeReferences,
    audit,
    source: { addr: `${hostname()}:${String(options.address.port)}`, instanceID: shortId(newId()) },
    log,
    headers: options.headers,
  });
  const listener = new Listener({ ...options.address, tls, handler, idleSeconds: options.idleSeconds });
  const debug = options.debugAddress === undefined ? undefined : serveDebug(options.debugAddress, options.metricsPath, registry, metrics);
  const control = serveControl(controlSocket(options.storage), registry);
  if (options.gc.intervalMs > 0) {
    const request: CollectRequest = { graceMs: options.gc.graceMs, untagged: options.gc.untagged, dryRun: false };
    registry.every(options.gc.intervalMs, 'the collection', () => registry.collect(request));
  }
  const onReload = (): void => void reload(options, listener, auth, audit, log);
  process.on('SIGHUP', onReload);
  log.info('registry is ready', {
    version: productVersion,
    listening: `${options.address.hostname}:${String(listener.port)}`,
    tls: tls !== undefined,
    ...(debug !== undefined && { debug: `${options.debugAddress?.hostname ?? ''}:${String(debug.port)}` }),
    storage: options.storage.kind === 'filesystem' ? options.storage.root : `s3 bucket ${options.storage.bucket}`,
  });
  const signal = await stop;
  log.info('shutting down', { signal });
  registry.drain();
  process.off('SIGHUP', onReload);
  await listener.close(options.drainMs);
  const undelivered = await notifier.close(notifyMs);
  if (undelivered > 0) log.warn('events were not delivered to hooks', { count: undelivered });
  await control.stop(true);
  rmSync(controlSocket(options.storage), { force: true });
  await debug?.stop(true);
  log.info('registry has ended');
}

const notifyMs = 5_000;

function stopSignal(): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) process.on(signal, () => resolve(signal));
  return promise;
}

function readTls({ tls }: RegistryServerOptions): TlsFiles | undefined {
  if (tls === undefined) return undefined;
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'utf8');
    } catch (err) {
      throw failedPrecondition(`${path} cannot be read: ${messageOf(err)}`, { cause: err });
    }
  };
  return { cert: read(tls.certificate), key: read(tls.key), clientCas: tls.clientCas.map(read) };
}

/** Says aloud what a careful operator would not want. */
function warnOfStrangers({ address, tls, auth }: RegistryServerOptions, log: Logger): void {
  if (/^(127\.|localhost$|::1$)/.test(address.hostname)) return;
  if (auth.kind === 'none') log.warn('whoever can connect may push and delete: there is no authentication', { address: address.hostname });
  if (tls === undefined) log.warn('what clients send can be read on the way: there is no TLS', { address: address.hostname });
}

async function reload(
  options: RegistryServerOptions,
  listener: Listener,
  auth: { reload(): Promise<void> },
  audit: AuditLog | undefined,
  log: Logger,
): Promise<void> {
  const attempt = async (what: string, action: () => Promise<void> | void): Promise<void> => {
    try {
      await action();
      log.info('read again', { what });
    } catch (err) {
      log.error('not read again: the old one stays in use', { what, error: err });
    }
  };
  await attempt('users', () => auth.reload());
  if (audit !== undefined) await attempt('audit log', () => audit.reopen());
  const tls = readTlsSafely(options, log);
  if (tls !== undefined) await attempt('certificates', () => listener.reload(tls));
}

function readTlsSafely(options: RegistryServerOptions, log: Logger): TlsFiles | undefined {
  try {
    return readTls(options);
  } catch (err) {
    log.error('not read again: the old one stays in use', { what: 'certificates', error: err });
    return undefined;
  }
}

function measure(metrics: Metrics, registry: Registry, notifier: Notifier): void {
  metrics.gauge('registry_uploads', 'Uploads that are not finished.', () => registry.uploads.count());
  metrics.gauge('registry_notifications_pending', 'Events that hooks have not taken yet.', () => notifier.pending);
  metrics.gauge('registry_notifications_delivered_total', 'Events that hooks have taken.', () => notifier.delivered);
  metrics.gauge('registry_notifications_failures_total', 'Attempts to deliver events that failed.', () => notifier.failures);
  metrics.gauge('registry_notifications_dropped_total', 'Events given up because a queue was full.', () => notifier.dropped);
  metrics.gauge('registry_proxy_hits_total', 'Manifests of upstream registries that were here.', () => registry.upstreams.hits);
  metrics.gauge('registry_proxy_misses_total', 'Manifests and blobs that were fetched from upstream.', () => registry.upstreams.misses);
  metrics.gauge('registry_proxy_pulled_bytes_total', 'Bytes of blobs fetched from upstream.', () => registry.upstreams.fetchedBytes);
  if (registry.quotas.isCounting)
    metrics.gauge('registry_stored_bytes', 'Bytes of blobs, each counted once.', () => registry.quotas.totalBytes);
  metrics.gauge('process_resident_memory_bytes', 'Memory of the process.', () => process.memoryUsage.rss());
}

/** Figures and health, on an address that strangers do not reach. */
function serveDebug(address: Address, metricsPath: string, registry: Registry, metrics: Metrics): Bun.Server<undefined> {
  return Bun.serve({
    hostname: address.hostname,
    port: address.port,
    development: false,
    routes: {
      [metricsPath]: async () => new Response(await metrics.text(), { headers: { 'Content-Type': 'text/plain; version=0.0.4' } }),
      '/debug/health': () => {
        const problems = registry.services.problems();
        return Response.json(problems, { status: Object.keys(problems).length === 0 ? 200 : 503 });
      },
    },
    fetch: () => new Response('not found\n', { status: 404 }),
  });
}

/** Orders of the operator, from this machine. */
function serveControl(socket: string, registry: Registry): Bun.Server<undefined> {
  rmSync(socket, { force: true });
  const server = Bun.serve({
    unix: socket,
    development: false,
    routes: {
      '/collect': {
        POST: async (request, own) => {
          // A collection takes as long as it takes.
          own.timeout(request, 0);
          try {
            return Response.json(await registry.collect((await request.json()) as CollectRequest));
          } catch (err) {
            return new Response(messageOf(err), { status: 500 });
          }
        },
      },
    },
    fetch: () => new Response('not found\n', { status: 404 }),
  });
  chmodSync(socket, 0o600);
  return server;
}

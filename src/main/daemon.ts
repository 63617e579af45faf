import { messageOf } from '#base/errors.ts';
import { createLogger, type Logger, type LogLevel, type LogSink } from '#base/log.ts';
import { isHungUp } from '#host/sys/hang-up.ts';
import { startServer } from '#server/server.ts';
import { daemonHelp, parseDaemonFlags } from './daemon-flags.ts';
import { type DaemonOptions, resolveDaemonOptions } from './daemon-options.ts';
import { openEngine } from './engine.ts';
import { releaseMemoryWhenIdle } from './idle-memory.ts';
import { claimPidfile, claimRoots } from './instance.ts';
import { listenAddresses, socketOwner } from './listen-addresses.ts';
import { checkDefaultLog } from './log-tools.ts';
import { checkDefaultRuntime } from './programs.ts';
import { remappedOptions } from './remapping.ts';
import { reloadableKeys, reloadOptions } from './reload.ts';
import { productVersion } from './version.ts';

/** `berth daemon`: serves the Engine API until SIGTERM or SIGINT. Containers outlive it. */
export async function main(argv: readonly string[]): Promise<void> {
  try {
    const flags = parseDaemonFlags(argv);
    if (flags.help) return void process.stdout.write(daemonHelp());
    if (flags.version) return void process.stdout.write(`Berth version ${productVersion}\n`);
    const resolve = (): DaemonOptions => {
      const options = resolveDaemonOptions(flags);
      checkDefaultRuntime(options.defaultRuntime, options.runtimes);
      checkDefaultLog(options.logDriver, options.logOpts);
      return options;
    };
    const options = resolve();
    if (flags.validate) return void process.stdout.write('configuration OK\n');
    await serve(options, resolve);
  } catch (err) {
    process.stderr.write(`berth daemon: ${messageOf(err)}\n`);
    process.exitCode = 1;
  }
  // Streams and sockets of clients that linger must not keep a daemon alive that has shut down.
  process.exit();
}

async function serve(given: DaemonOptions, reread: () => DaemonOptions): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('must run as root: it makes namespaces, mounts and network interfaces');
  const sink: LogSink & { level: LogLevel } = {
    level: given.debug ? 'debug' : given.logLevel,
    format: given.logFormat,
    write: line => process.stderr.write(line),
  };
  const log = createLogger(sink);
  const stop = stopSignal();
  const { options: initial, idMap } = remappedOptions(given, log);
  const hosts = listenAddresses(initial, log);
  const owner = socketOwner(initial);
  for (const { name, why } of initial.ignored) log.info('a setting has no effect', { name, why });
  if (initial.cgroupDriver === 'systemd') {
    log.warn('cgroups are managed without systemd, although native.cgroupdriver=systemd asks for it', {
      what: 'the parent of a container is a path below the root of the cgroups, not a slice; limits of slices do not hold for containers',
    });
  }

  using claims = new DisposableStack();
  const roots = claims.use(await claimRoots(initial.dataRoot, initial.execRoot));
  claims.use(claimPidfile(initial.pidfile));

  let options = initial;
  const startedAt = performance.now();
  const engine = await openEngine(() => options, idMap, log);
  try {
    for (const repaired of await engine.recover()) log.info('repaired', { what: repaired });
    const server = await startServer({
      hosts,
      owner,
      services: engine.services,
      version: productVersion,
      experimental: options.experimental,
      log,
      isHungUp,
    });
    const onReload = (): void => {
      options = reload(options, reread, log);
      sink.level = options.debug ? 'debug' : options.logLevel;
      engine.reloaded();
    };
    process.on('SIGHUP', onReload);
    log.info('daemon is ready', {
      version: productVersion,
      listening: server.addresses,
      startMs: Math.round(performance.now() - startedAt),
    });
    using _memory = releaseMemoryWhenIdle(log);
    const signal = await stop;
    log.info('shutting down, containers run on', { signal });
    roots.ending();
    await server.close(options.shutdownTimeoutSeconds < 0 ? undefined : options.shutdownTimeoutSeconds * 1000);
    process.off('SIGHUP', onReload);
  } finally {
    await engine.close();
  }
  log.info('daemon has ended');
}

function stopSignal(): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT'] as const) process.on(signal, () => resolve(signal));
  return promise;
}

function reload(current: DaemonOptions, reread: () => DaemonOptions, log: Logger): DaemonOptions {
  try {
    const next = reloadOptions(current, reread());
    log.info('configuration read again', { settings: reloadableKeys.join(' ') });
    return next;
  } catch (err) {
    log.error('the configuration was not read again: the daemon goes on with the old one', { error: err });
    return current;
  }
}

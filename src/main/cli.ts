import type { FileAttributes } from '#cli/cli.ts';
import type { OpenRegistries } from '#cli/remote/registry-port.ts';
import { runCli } from '#cli/main.ts';
import { productVersion } from './version.ts';

async function fileAttributes(): Promise<FileAttributes> {
  const { getXattr, listXattrs, setXattr } = await import('#host/sys/fs.ts');
  return { list: listXattrs, get: getXattr, set: setXattr };
}

/** Roles of the executable that people start; whoever calls it `docker` looks for commands. */
const services = [
  ['daemon', 'Serve the Engine API to this and any other client'],
  ['registry', 'Serve images to any client of the OCI distribution API'],
] as const;

/** Registries as this machine's settings have them, for commands that ask them without a daemon. */
async function openRegistries(): Promise<OpenRegistries> {
  const [{ createRegistryClient }, { takeProxies }, { silentLogger }] = await Promise.all([
    import('#host/registry/client.ts'),
    import('#host/registry/proxies.ts'),
    import('#base/log.ts'),
  ]);
  const proxies = takeProxies(process.env, {});
  const userAgent = `berth/${productVersion}`;
  return ({ insecure }) => createRegistryClient({ mirrors: [], insecureRegistries: insecure, proxies, userAgent, log: silentLogger });
}

/** The command line. Ends the process: an open connection to the daemon must not keep a finished command waiting. */
export async function main(argv: readonly string[], name: 'docker' | 'berth'): Promise<void> {
  process.exit(
    await runCli(argv, { name, version: productVersion, services: name === 'berth' ? services : [], fileAttributes, openRegistries }),
  );
}

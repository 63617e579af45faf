import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { eventually } from './eventually.ts';
import { cached } from './paths.ts';

export interface RegistryOptions {
  /** Lines of bcrypt `user:hash`: asks for basic authentication. */
  readonly htpasswd?: string;
}

/** Debian's docker-registry on a free port of the loopback interface, with storage in a temporary folder. */
export async function startRegistry(options: RegistryOptions = {}): Promise<Registry> {
  const folder = await mkdtemp('/tmp/berth-r-');
  const port = await freePort();
  const auth = options.htpasswd === undefined ? '' : `auth: {htpasswd: {realm: test, path: ${folder}/htpasswd}}\n`;
  if (options.htpasswd !== undefined) await Bun.write(join(folder, 'htpasswd'), options.htpasswd);
  await Bun.write(
    join(folder, 'config.yml'),
    `version: 0.1\nlog: {level: warn}\nstorage: {filesystem: {rootdirectory: ${folder}/data}, delete: {enabled: true}}\nhttp: {addr: "127.0.0.1:${String(port)}"}\n${auth}`,
  );
  const log = Bun.file(join(folder, 'log'));
  const address = `127.0.0.1:${String(port)}`;
  let child: Bun.Subprocess | undefined;
  const registry: Registry = {
    address,
    folder,
    get pid() {
      return child?.pid ?? 0;
    },
    async start() {
      child = Bun.spawn([cached('docker/usr/bin/docker-registry'), 'serve', join(folder, 'config.yml')], { stdio: ['ignore', log, log] });
      await eventually('the registry answers', async () => [200, 401].includes((await fetch(`http://${address}/v2/`)).status));
    },
    async stop() {
      child?.kill('SIGKILL');
      await child?.exited;
    },
    async [Symbol.asyncDispose]() {
      await registry.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await registry.start();
  } catch (err) {
    const said = await log.text();
    await registry[Symbol.asyncDispose]();
    throw new Error(`docker-registry does not answer: ${said}`, { cause: err });
  }
  return registry;
}

export interface Registry extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly address: string;
  readonly folder: string;
  readonly pid: number;
  /** Its storage is `data` in its folder: both for tests that let another registry serve it in between. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** A TCP port that nobody listens on right now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  return await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

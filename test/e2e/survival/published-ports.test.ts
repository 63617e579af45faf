import { networkInterfaces } from 'node:os';
import { expect } from 'bun:test';
import { execIn, sh, start, waiting } from '#test/helpers/containers.ts';
import { startDaemon } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs, unmet } from '#test/helpers/needs.ts';
import { freePort } from '#test/helpers/registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

const external = Object.values(networkInterfaces())
  .flatMap(addresses => addresses ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address;
const hosts = ['127.0.0.1', ...(external === undefined ? [] : [external]), ...(unmet('ipv6-loopback') === undefined ? ['[::1]'] : [])];

const serving = 'mkdir /www && echo served >/www/index.html && exec httpd -f -p 80 -h /www';

describe('published ports and names', () => {
  test('answer every connection while the daemon is killed, dead, started again and stopped in order', async () => {
    await using daemon = await startDaemon();
    const port = await freePort();
    await daemon.api.expect('POST', '/networks/create', { body: { Name: 'kept' }, status: 201 });
    const published = {
      ExposedPorts: { '80/tcp': {} },
      HostConfig: { NetworkMode: 'kept', PortBindings: { '80/tcp': [{ HostPort: String(port) }] } },
    };
    await start(daemon, sh(serving, published), 'server');
    const client = await start(daemon, waiting({ HostConfig: { NetworkMode: 'kept' } }), 'client');
    const resolves = async (): Promise<boolean> => (await execIn(daemon, client, ['nslookup', 'server'])).exitCode === 0;
    for (const host of hosts) await eventually(`it answers at ${host}`, async () => (await ask(host, port)) === 'served\n');
    expect(await resolves()).toBe(true);

    const clients = hosts.map(host => askAgainAndAgain(host, port));
    const further = async (): Promise<true> => {
      const counts = clients.map(({ count }) => count);
      return await eventually('every client has been answered again', () => clients.every(({ count }, i) => count > (counts[i] ?? 0) + 20));
    };
    await further();
    await daemon.kill();
    await further();
    await daemon.start();
    await further();
    await eventually('names are resolved again', resolves);
    await daemon.stop();
    await further();
    await daemon.start();
    await further();
    expect(await resolves()).toBe(true);
    // Stopping and starting another container changes rules, ports and names beside those that are used.
    await daemon.api.expect('POST', `/containers/${client}/restart?t=0`);
    await further();
    const results = await Promise.all(clients.map(one => one.end()));
    expect(results.flatMap(({ failures }) => failures)).toEqual([]);
  }, 60_000);
});

async function ask(host: string, port: number): Promise<string> {
  const response = await fetch(`http://${host}:${String(port)}/`, { keepalive: false, signal: AbortSignal.timeout(900) });
  return await response.text();
}

/** One connection after the other. A connection that needs a second (a lost packet is sent again then) is a failure. */
function askAgainAndAgain(host: string, port: number) {
  const state = { count: 0, failures: [] as string[] };
  let ending = false;
  const running = (async () => {
    while (!ending) {
      try {
        const text = await ask(host, port);
        if (text === 'served\n') state.count += 1;
        else state.failures.push(`${host}: ${text}`);
      } catch (err) {
        state.failures.push(`${host}: ${String(err)}`);
      }
      await Bun.sleep(2);
    }
  })();
  return {
    get count() {
      return state.count;
    },
    async end() {
      ending = true;
      await running;
      return state;
    },
  };
}

import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { expect } from 'bun:test';
import { baseImage } from '../../scripts/base-images.ts';
import { create, sharedDaemon, start, waiting } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

describe('clients of all kinds', () => {
  const daemon = sharedDaemon();
  /** Accepted connections carry the path of the socket that they came through; state 03 is connected. */
  const connections = (): number =>
    readFileSync('/proc/net/unix', 'utf8')
      .split('\n')
      .filter(line => line.endsWith(` ${daemon().socketPath}`) && line.split(' ')[5] === '03').length;

  test('one that is killed while attached without a word is forgotten', async () => {
    const id = await start(daemon(), waiting());
    const attach = `POST /v1.51/containers/${id}/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`;
    const clients = Array.from({ length: 5 }, () => {
      const script = `require('node:net').connect({path: process.argv[1]}).on('data', d => console.log(String(d))).write(process.argv[2])`;
      return Bun.spawn([process.execPath, '-e', script, daemon().socketPath, attach], { stdio: ['ignore', 'pipe', 'inherit'] });
    });
    for (const client of clients) {
      const { value } = await client.stdout.getReader().read();
      expect(Buffer.from(value ?? []).toString()).toStartWith('HTTP/1.1 101 UPGRADED');
    }
    expect(connections()).toBeGreaterThanOrEqual(5);
    for (const client of clients) client.kill('SIGKILL');
    await eventually('the connections are closed', () => connections() === 0, { timeoutMs: 8_000 });
    await daemon().api.expect('DELETE', `/containers/${id}?force=1`, { status: 204 });
  }, 20_000);

  test('one that stops sending and listens on keeps its output', async () => {
    const id = await create(daemon(), { Cmd: ['sh', '-c', 'cat; sleep 3; echo later'], OpenStdin: true, StdinOnce: true });
    using client = await daemon().api.hijack(`/containers/${id}/attach?stream=1&stdin=1&stdout=1`);
    await daemon().api.expect('POST', `/containers/${id}/start`, { status: 204 });
    client.write('input\n');
    client.end();
    await client.closed;
    expect(client.streams().stdout).toBe('input\nlater\n');
    await daemon().api.expect('DELETE', `/containers/${id}`, { status: 204 });
  }, 15_000);

  test('one that sends its input with the request, without asking for an upgrade', async () => {
    const id = await create(daemon(), { Cmd: ['cat'], OpenStdin: true, StdinOnce: true });
    const socket = connect({ path: daemon().socketPath, allowHalfOpen: true });
    let said = '';
    socket.on('data', chunk => (said += String(chunk)));
    socket.end(`POST /v1.24/containers/${id}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\n\r\nearly\n`);
    await eventually('the head', () => said.startsWith('HTTP/1.1 200 OK'));
    await daemon().api.expect('POST', `/containers/${id}/start`, { status: 204 });
    await eventually('the echo', () => said.endsWith('early\n'));
    await daemon().api.expect('POST', `/containers/${id}/wait`);
    await daemon().api.expect('DELETE', `/containers/${id}`, { status: 204 });
  });

  test('one that attaches over a websocket', async () => {
    const id = await start(daemon(), { Cmd: ['cat'], OpenStdin: true });
    const socket = connect({ path: daemon().socketPath });
    let said = Buffer.alloc(0);
    socket.on('data', chunk => (said = Buffer.concat([said, Buffer.from(chunk)])));
    const upgrade =
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
    socket.write(`GET /v1.51/containers/${id}/attach/ws?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`);
    await eventually('the handshake', () => said.includes('s3pPLMBiTxaQ9kYGzzhZRbK+xOo='));
    const mask = [1, 2, 3, 4];
    const masked = [...Buffer.from('typed\n')].map((byte, i) => byte ^ (mask[i % 4] ?? 0));
    socket.write(Buffer.from([0x82, 0x80 | masked.length, ...mask, ...masked]));
    await eventually('the echo in a frame', () => said.includes(Buffer.from([0x82, 6, ...Buffer.from('typed\n')])));
    await daemon().api.expect('POST', `/containers/${id}/kill`, { status: 204 });
    await eventually('the close frame', () => said.subarray(-4).equals(Buffer.from([0x88, 2, 0x03, 0xe8])));
    socket.destroy();
    await daemon().api.expect('DELETE', `/containers/${id}`, { status: 204 });
  });

  test('others are answered at once while an image is loaded', async () => {
    if (Bun.which('debootstrap') === null) return;
    const archive = await baseImage('debian');
    let loading = true;
    const times: number[] = [];
    const load = daemon()
      .load(archive)
      .finally(() => (loading = false));
    while (loading) {
      const startedAt = performance.now();
      await daemon().api.expect('GET', times.length % 2 === 0 ? '/containers/json' : '/version');
      times.push(performance.now() - startedAt);
    }
    await load;
    times.sort((a, b) => a - b);
    // The target is 20 ms on a machine with nothing else to do; here others may run beside.
    expect(times[Math.floor(times.length / 2)]).toBeLessThan(20);
    expect(times[Math.floor(times.length * 0.95)]).toBeLessThan(100);
  }, 60_000);
});

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { messageOf } from '#base/errors.ts';
import { silentLogger } from '#base/log.ts';
import type { AttachEnd, ClientStream } from '#engine/containers/attach-types.ts';
import type { Services } from './ports.ts';
import { startServer } from './server.ts';
import { fake } from './testing/fakes.ts';

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
if (!hasOpenssl) console.log('skipping TLS tests: openssl is not installed, and it makes their certificates');

let directory: string;
const read = (name: string): string => readFileSync(join(directory, name), 'utf8');

/** Makes `name.pem` and `name-key.pem`, signed by `ca` when given. */
function certificate(name: string, subject: string, ca?: string): void {
  const args = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '1',
    '-subj',
    `/CN=${subject}`,
  ];
  const signer = ca === undefined ? [] : ['-CA', `${ca}.pem`, '-CAkey', `${ca}-key.pem`, '-addext', 'subjectAltName=IP:127.0.0.1'];
  const made = spawnSync('openssl', [...args, ...signer, '-keyout', `${name}-key.pem`, '-out', `${name}.pem`], { cwd: directory });
  if (made.status !== 0) throw new Error(made.stderr.toString());
}

beforeAll(() => {
  if (!hasOpenssl) return;
  directory = mkdtempSync(join(tmpdir(), 'berth-tls-'));
  certificate('ca', 'test ca');
  certificate('server', 'server', 'ca');
  certificate('client', 'client', 'ca');
  certificate('stranger', 'stranger');
});
afterAll(() => {
  if (hasOpenssl) rmSync(directory, { recursive: true, force: true });
});

async function serveTls() {
  const tls = { cert: read('server.pem'), key: read('server-key.pem'), clientCa: read('ca.pem') };
  const attach = () =>
    Promise.resolve({
      tty: true,
      async run(client: ClientStream): Promise<AttachEnd> {
        for await (const chunk of client.input ?? []) await client.write('stdout', chunk);
        return 'ended';
      },
    });
  const server = await startServer({
    hosts: [{ kind: 'tcp', host: '127.0.0.1', port: 0, tls }],
    owner: { gid: undefined },
    services: fake<Services>('services', { containers: fake<Services['containers']>('containers', { attach }) }),
    version: '0.1.0',
    experimental: false,
    log: silentLogger,
    isHungUp: () => false,
  });
  return { port: Number(/:(\d+)$/.exec(server.addresses[0] ?? '')?.[1]), [Symbol.asyncDispose]: async () => await server.close(0) };
}

/** Everything the server answers to these bytes. */
async function exchange(port: number, identity: string | undefined, bytes: string): Promise<string> {
  const certificates = identity === undefined ? {} : { cert: read(`${identity}.pem`), key: read(`${identity}-key.pem`) };
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({ host: '127.0.0.1', port, ca: read('ca.pem'), ...certificates });
  let received = '';
  socket.on('secureConnect', () => socket.write(bytes));
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
    if (received.endsWith('OK') || received.includes('echo me')) socket.destroy();
  });
  socket.on('error', reject);
  socket.on('close', () => resolve(received));
  return await promise;
}

test.skipIf(!hasOpenssl)('a client with a certificate of the CA is served, hijacked streams included', async () => {
  await using server = await serveTls();
  expect(await exchange(server.port, 'client', 'GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n')).toEndWith('\r\n\r\nOK');
  const attached = await exchange(
    server.port,
    'client',
    'POST /containers/x/attach?stream=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\necho me',
  );
  expect(attached).toStartWith('HTTP/1.1 101 UPGRADED\r\n');
  expect(attached).toEndWith('\r\n\r\necho me');
});

test.skipIf(!hasOpenssl).each(['stranger', undefined])('a client whose certificate is %p gets no answer', async identity => {
  await using server = await serveTls();
  const answer = await exchange(server.port, identity, 'GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n').catch(messageOf);
  expect(answer).not.toContain('200 OK');
});

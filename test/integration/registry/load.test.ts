import { readFileSync } from 'node:fs';
import { expect, test } from 'bun:test';
import { sha256 } from '#oci/digest.ts';
import { startBerthRegistry } from '#test/helpers/berth-registry.ts';
import { pushBlob, pushImage, randomBytes } from '#test/helpers/registry-content.ts';

const clients = 1000;

const megabytes = (pid: number, what: 'VmRSS' | 'VmHWM'): number =>
  Number(new RegExp(`^${what}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))?.[1]) / 1000;

test('a thousand clients in the middle of the same blob cost little memory, and others are answered meanwhile', async () => {
  await using registry = await startBerthRegistry();
  const data = randomBytes(3_000_000);
  await pushBlob(registry, 'busy', data);
  await pushImage(registry, 'busy', 'latest');
  const before = megabytes(registry.pid, 'VmRSS');
  const hashes = Array.from({ length: clients }, () => new Bun.CryptoHasher('sha256'));
  const [inTheMiddle, finished] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let [started, done] = [0, 0];
  const sockets: Bun.Socket[] = [];
  for (let client = 0; client < clients; client += 1) {
    let left = Number.NaN;
    const socket = await Bun.connect({
      hostname: '127.0.0.1',
      port: registry.port,
      socket: {
        data(one, chunk) {
          let body = chunk;
          if (Number.isNaN(left)) {
            const end = chunk.indexOf('\r\n\r\n') + 4;
            left = Number(/content-length: (\d+)/i.exec(chunk.toString('latin1', 0, end))?.[1]);
            body = chunk.subarray(end);
            started += 1;
            one.pause();
            if (started === clients) inTheMiddle.resolve();
          }
          left -= body.length;
          hashes[client]?.update(body);
          if (left > 0) return;
          done += 1;
          one.end();
          if (done === clients) finished.resolve();
        },
        error: (_one, err) => finished.reject(err),
      },
    });
    sockets.push(socket);
    socket.write(`GET /v2/busy/blobs/${sha256(data)} HTTP/1.1\r\nHost: x\r\n\r\n`);
  }
  await inTheMiddle.promise;
  expect((await registry.call('GET', '/v2/busy/manifests/latest')).status).toBe(200);
  expect(megabytes(registry.pid, 'VmRSS') - before).toBeLessThan(100);
  for (const socket of sockets) socket.resume();
  await finished.promise;
  expect(new Set(hashes.map(hash => hash.digest('hex')))).toEqual(new Set([sha256(data).slice(7)]));
  // The clients' bytes together are 3 GB.
  expect(megabytes(registry.pid, 'VmHWM') - before).toBeLessThan(150);
}, 120_000);

test('uploads take as much memory as is on its way, not as much as they are', async () => {
  await using registry = await startBerthRegistry();
  await pushBlob(registry, 'busy', randomBytes(1_000_000));
  const before = megabytes(registry.pid, 'VmRSS');
  const data = randomBytes(60_000_000);
  await Promise.all(Array.from({ length: 4 }, (_, index) => pushBlob(registry, `busy/${String(index)}`, data)));
  expect(megabytes(registry.pid, 'VmHWM') - before).toBeLessThan(150);
}, 120_000);

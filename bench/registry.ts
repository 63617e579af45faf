/**
 * Measures Berth's registry beside Debian's docker-registry, both on the loopback interface with storage on the same disk:
 *   npm run bench -- --registry [--rounds N] [--write docs/performance-registry.md]
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { sha256 } from '../src/oci/digest.ts';
import { startBerthRegistry } from '../test/helpers/berth-registry.ts';
import { projectRoot } from '../test/helpers/paths.ts';
import { startRegistry } from '../test/helpers/registry.ts';
import { makeManifest, ociManifestType, randomBytes } from '../test/helpers/registry-content.ts';
import { HttpConnection } from './http-connection.ts';
import { describeMachine, isMet, type Row, table } from './report.ts';

const { values: options } = parseArgs({
  options: { registry: { type: 'boolean' }, rounds: { type: 'string', default: '9' }, write: { type: 'string' } },
});
const rounds = Number(options.rounds);
process.env.BERTH_TEST_BINARY ??= 'dist/berth';

interface Peer {
  readonly name: 'berth' | 'docker';
  readonly port: number;
  readonly pid: number;
}

interface Measure {
  readonly name: string;
  readonly requests: number;
  readonly connections: number;
  /** One request, or the few that belong together. */
  run(connection: HttpConnection, index: number): Promise<void>;
}

const repository = 'bench/app';
const [config, small, large] = [randomBytes(1_500), randomBytes(100_000), randomBytes(20_000_000)];
const manifest = makeManifest({ config, layers: [small, large] });
const octets = 'Content-Type: application/octet-stream\r\n';
const accept = `Accept: ${ociManifestType}\r\n`;

await using stack = new AsyncDisposableStack();
const berth = stack.use(await startBerthRegistry({ config: { gc: { interval: 0 } } }));
const docker = stack.use(await startRegistry());
const peers: readonly Peer[] = [
  { name: 'berth', port: berth.port, pid: berth.pid },
  { name: 'docker', port: Number(docker.address.split(':')[1]), pid: docker.pid },
];

async function pushBlob(connection: HttpConnection, data: Uint8Array, digest: string): Promise<void> {
  const begun = await connection.send(`POST /v2/${repository}/blobs/uploads/`, '');
  const location = /\r\nlocation: *(?:https?:\/\/[^/]+)?([^\r\n]+)/i.exec(begun)?.[1] ?? '';
  const done = await connection.send(`PUT ${location}${location.includes('?') ? '&' : '?'}digest=${digest}`, octets, data);
  if (!done.startsWith('HTTP/1.1 201')) throw new Error(done);
}

async function get(connection: HttpConnection, path: string, headers = ''): Promise<void> {
  const answer = await connection.send(`GET /v2/${repository}/${path}`, headers);
  if (!answer.startsWith('HTTP/1.1 200')) throw new Error(answer);
}

/** Bytes that nobody has pushed yet, made from a pattern in no time. */
function freshBytes(length: number): () => Uint8Array {
  const data = randomBytes(length);
  let count = 0;
  return () => {
    new DataView(data.buffer).setUint32(0, (count += 1));
    return data.slice();
  };
}

const fresh = { small: freshBytes(100_000), large: freshBytes(20_000_000) };
const pushFresh =
  (next: () => Uint8Array) =>
  async (connection: HttpConnection): Promise<void> => {
    const data = next();
    await pushBlob(connection, data, sha256(data));
  };

const measures: readonly Measure[] = [
  { name: 'manifest GET by tag', requests: 1500, connections: 1, run: connection => get(connection, 'manifests/latest', accept) },
  {
    name: 'manifest GET by tag, 16 clients',
    requests: 3000,
    connections: 16,
    run: connection => get(connection, 'manifests/latest', accept),
  },
  {
    name: 'manifest GET by digest',
    requests: 1500,
    connections: 1,
    run: connection => get(connection, `manifests/${manifest.digest}`, accept),
  },
  { name: 'blob GET, 1.5 kB', requests: 1500, connections: 1, run: connection => get(connection, `blobs/${sha256(config)}`) },
  { name: 'blob GET, 100 kB', requests: 800, connections: 1, run: connection => get(connection, `blobs/${sha256(small)}`) },
  { name: 'blob GET, 100 kB, 16 clients', requests: 1600, connections: 16, run: connection => get(connection, `blobs/${sha256(small)}`) },
  { name: 'blob GET, 20 MB', requests: 15, connections: 1, run: connection => get(connection, `blobs/${sha256(large)}`) },
  { name: 'blob GET, 20 MB, 4 clients', requests: 20, connections: 4, run: connection => get(connection, `blobs/${sha256(large)}`) },
  { name: 'blob PUT, 100 kB', requests: 60, connections: 1, run: pushFresh(fresh.small) },
  { name: 'blob PUT, 100 kB, 16 clients', requests: 160, connections: 16, run: pushFresh(fresh.small) },
  { name: 'blob PUT, 20 MB', requests: 5, connections: 1, run: pushFresh(fresh.large) },
  { name: 'blob PUT, 20 MB, 4 clients', requests: 8, connections: 4, run: pushFresh(fresh.large) },
];

/** Microseconds for each request. */
async function timed({ port }: Peer, { requests, connections, run }: Measure): Promise<number> {
  const open = await Promise.all(Array.from({ length: connections }, () => HttpConnection.open(port)));
  let next = 0;
  const began = performance.now();
  await Promise.all(
    open.map(async connection => {
      for (let index = next++; index < requests; index = next++) await run(connection, index);
    }),
  );
  const micros = ((performance.now() - began) * 1000) / requests;
  for (const connection of open) connection[Symbol.dispose]();
  return micros;
}

const megabytes = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))?.[1]) / 1000;

/** The memory that a thousand clients cost who all are in the middle of the same 20 MB. */
async function memoryUnderLoad({ port, pid }: Peer): Promise<number> {
  let most = megabytes(pid);
  const watching = setInterval(() => (most = Math.max(most, megabytes(pid))), 20);
  const sockets: Bun.Socket[] = [];
  let started = 0;
  const finished = Promise.withResolvers<void>();
  const clients = 1000;
  const wanted = large.length;
  let done = 0;
  for (let client = 0; client < clients; client += 1) {
    let received = 0;
    sockets.push(
      await Bun.connect({
        hostname: '127.0.0.1',
        port,
        socket: {
          data(socket, chunk) {
            if (received === 0) {
              started += 1;
              // Nobody goes on before everybody is in the middle.
              socket.pause();
              if (started === clients) for (const one of sockets) one.resume();
            }
            received += chunk.length;
            if (received < wanted) return;
            done += 1;
            received = Number.NEGATIVE_INFINITY;
            socket.end();
            if (done === clients) finished.resolve();
          },
          error: (_socket, err) => finished.reject(err),
        },
      }),
    );
    sockets.at(-1)?.write(`GET /v2/${repository}/blobs/${sha256(large)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  }
  await finished.promise;
  clearInterval(watching);
  return most;
}

for (const peer of peers) {
  using connection = await HttpConnection.open(peer.port);
  for (const data of [config, small, large]) await pushBlob(connection, data, sha256(data));
  const done = await connection.send(`PUT /v2/${repository}/manifests/latest`, `Content-Type: ${ociManifestType}\r\n`, manifest.bytes);
  if (!done.startsWith('HTTP/1.1 201')) throw new Error(done);
}

const rows: Row[] = [];
for (const measure of measures) {
  const values: Record<Peer['name'], number[]> = { berth: [], docker: [] };
  // One round more than counted: the first warms caches up.
  for (let round = -1; round < rounds; round += 1) {
    for (const peer of round % 2 === 0 ? peers : peers.toReversed()) {
      const micros = await timed(peer, measure);
      if (round >= 0) values[peer.name].push(micros);
    }
  }
  rows.push({ name: measure.name, unit: 'µs', ...values, atMost: 1 });
  console.log(table(rows.slice(-1)).split('\n').at(-1));
}
const memory: Record<Peer['name'], number[]> = { berth: [], docker: [] };
for (const peer of peers) memory[peer.name].push(await memoryUnderLoad(peer));
rows.push({ name: 'memory, 1,000 clients in the middle of 20 MB each', unit: 'MB', ...memory, atMost: undefined });

const page = `# Performance of the registry

How \`berth registry serve\` stands beside Debian's docker-registry: \`npm run bench -- --registry\` makes this page. Both serve on the loopback interface from the
same disk, to the same client; rows are medians of interleaved rounds, in time for each request. A blob PUT is a POST and a PUT.

- Date: ${new Date().toISOString().slice(0, 10)}
- Machine: ${describeMachine()}
- Docker: docker-registry 2.8.2
- Rounds: ${String(rounds)}

${table(rows)}
`;
console.log(`\n${table(rows)}`);
if (options.write !== undefined) await Bun.write(resolve(projectRoot, options.write), page);
const missed = rows.filter(row => isMet(row) === false);
console.log(missed.length === 0 ? '\nevery bound is met' : `\nmissed: ${missed.map(row => row.name).join(', ')}`);

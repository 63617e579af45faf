/** Runs in a container's network namespace: `bun lookups.ts NAME` asks the resolver of the network for a name and prints how long it took. */
import * as dns from 'dns-packet';

const rate = 2000;
const seconds = 3;
const flood = 20_000;
/** Questions under way at once in the flood. */
const window = 50;
const lossMs = 2000;
const name = process.argv[2] ?? '';

const waiting = new Map<number, (ms: number) => void>();
const socket = await Bun.udpSocket({
  connect: { hostname: '127.0.0.11', port: 53 },
  socket: {
    data(_socket, data) {
      const now = performance.now();
      waiting.get(data.readUInt16BE(0))?.(now);
    },
  },
});
let id = 0;

/** How long the answer took; a lost one counts as long as nobody would wait. */
function ask(): Promise<number> {
  id = (id + 1) & 0xffff;
  const own = id;
  const began = performance.now();
  const { promise, resolve } = Promise.withResolvers<number>();
  const timer = setTimeout(() => resolve(lossMs), lossMs);
  waiting.set(own, now => resolve(now - began));
  socket.send(dns.encode({ type: 'query', id: own, flags: dns.RECURSION_DESIRED, questions: [{ type: 'A', name }] }));
  return promise.finally(() => {
    clearTimeout(timer);
    waiting.delete(own);
  });
}

const start = performance.now();
const asked: Promise<number>[] = [];
while (asked.length < rate * seconds) {
  const due = Math.min(rate * seconds, Math.floor(((performance.now() - start) / 1000) * rate));
  while (asked.length < due) asked.push(ask());
  await Bun.sleep(1);
}
const sorted = (await Promise.all(asked)).toSorted((a, b) => a - b);

const floodStart = performance.now();
let left = flood;
await Promise.all(
  Array.from({ length: window }, async () => {
    while (left-- > 0) await ask();
  }),
);
console.log(JSON.stringify({ p99Ms: sorted[Math.floor(sorted.length * 0.99)], floodMs: performance.now() - floodStart }));
process.exit(0);

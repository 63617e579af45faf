import { expect, test } from 'bun:test';
import { conflict, notFound } from '#base/errors.ts';
import type { AttachEnd, AttachOptions, Attachment, ClientStream } from '#engine/containers/attach-types.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { Wire, request, serve } from './testing/fakes.ts';

const upgrade = 'Host: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n';
const body = '{"Detach":false,"Tty":false}';

/** Echoes input on stdout in capitals and says `bye` on stderr after its end. */
const echo = (tty: boolean): Attachment => ({
  tty,
  async run(client: ClientStream): Promise<AttachEnd> {
    for await (const chunk of client.input ?? []) await client.write('stdout', Buffer.from(Buffer.from(chunk).toString().toUpperCase()));
    await client.write('stderr', Buffer.from('bye\n'));
    return 'ended';
  },
});

const frameText = (type: number, text: string): string =>
  `${String.fromCharCode(type)}\0\0\0\0\0\0${String.fromCharCode(text.length)}${text}`;

test('attach with Upgrade answers 101 UPGRADED, frames output, and goes on after the half-close', async () => {
  await using server = await serve({ containers: { attach: () => Promise.resolve(echo(false)) } });
  using wire = new Wire(server.path);
  wire.send(`POST /v1.51/containers/x/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\n${upgrade}Content-Length: 0\r\n\r\n`);
  const head =
    'HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n';
  expect(await wire.until('\r\n\r\n')).toBe(head);
  wire.send('hello');
  await wire.until('HELLO');
  wire.halfClose();
  expect(await wire.untilClosed()).toBe(head + frameText(1, 'HELLO') + frameText(2, 'bye\n'));
});

test('attach to a terminal, and by clients before 1.42, is a raw stream', async () => {
  await using server = await serve({ containers: { attach: ref => Promise.resolve(echo(ref === 'tty')) } });
  for (const path of ['/v1.51/containers/tty/attach', '/v1.41/containers/x/attach']) {
    using wire = new Wire(server.path);
    wire.send(`POST ${path}?stream=1 HTTP/1.1\r\n${upgrade}\r\n`);
    expect(await wire.until('\r\n\r\n')).toContain('Content-Type: application/vnd.docker.raw-stream\r\n');
    expect(await wire.halfClose().untilClosed()).toEndWith(path.includes('tty') ? '\r\n\r\nbye\n' : frameText(2, 'bye\n'));
  }
});

test('attach without Upgrade answers 200 and takes input from the same connection', async () => {
  await using server = await serve({ containers: { attach: () => Promise.resolve(echo(true)) } });
  using wire = new Wire(server.path);
  wire.send('POST /containers/x/attach?stream=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n');
  const head = 'HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n';
  expect(await wire.until('\r\n\r\n')).toBe(head);
  await wire.send('one ').until('ONE ');
  await wire.send('two').until('TWO');
  expect(await wire.halfClose().untilClosed()).toBe(`${head}ONE TWObye\n`);
});

test('input right behind a request without Upgrade is input, on a connection that was used before too', async () => {
  const startExec = (): Attachment => echo(true);
  await using server = await serve({ containers: { attach: () => Promise.resolve(echo(true)), startExec } });
  for (const [path, more] of [
    ['/containers/x/attach?stream=1&stdin=1', 'Content-Length: 0\r\n\r\n'],
    ['/v1.30/containers/x/attach', '\r\n'],
    ['/v1.51/exec/x/start', `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`],
  ] as const) {
    using wire = new Wire(server.path);
    await wire.send('GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n').until('OK');
    wire.send(`POST ${path} HTTP/1.1\r\nHost: x\r\n${more}early `);
    await wire.until('EARLY ');
    wire.send('POST /containers/x/attach HTTP/1.1\r\n\r\n').halfClose();
    expect(await wire.untilClosed()).toEndWith('\r\n\r\nEARLY POST /CONTAINERS/X/ATTACH HTTP/1.1\r\n\r\nbye\n');
  }
});

test('a body that looks like an attach request is a body', async () => {
  const seen: string[] = [];
  const load = async (source: AsyncIterable<Uint8Array>): Promise<[]> => {
    for await (const chunk of source) seen.push(Buffer.from(chunk).toString());
    return [];
  };
  await using server = await serve({ images: { load } });
  using wire = new Wire(server.path);
  const looks = 'POST /containers/x/attach HTTP/1.1\r\nHost: x\r\n\r\n';
  wire.send(`POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: ${looks.length + 1}\r\n\r\n1`);
  wire.socket.setNoDelay(true);
  await eventually('the first byte', () => seen.length > 0);
  wire.send(looks);
  await wire.until('200 OK');
  expect(seen.join('')).toBe(`1${looks}`);
});

const websocketHead = 'Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n';

test('attach over a websocket carries output in frames, without those that tell streams apart', async () => {
  let options: AttachOptions | undefined;
  const attach = (_ref: string, asked: AttachOptions): Promise<Attachment> => {
    options = asked;
    return Promise.resolve(echo(false));
  };
  await using server = await serve({ containers: { attach } });
  using wire = new Wire(server.path);
  wire.send(
    `GET /v1.51/containers/x/attach/ws?stdin=1&stdout=1 HTTP/1.1\r\n${websocketHead}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  );
  expect(await wire.until('\r\n\r\n')).toContain('Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n');
  expect(options).toMatchObject({ stream: true, stdin: true, stdout: true, stderr: false });
  wire.socket.write(Buffer.from([0x82, 0x82, 1, 1, 1, 1, 0x61 ^ 1, 0x62 ^ 1]));
  await wire.until('AB');
  wire.socket.write(Buffer.from([0x88, 0x80, 0, 0, 0, 0]));
  expect(await wire.untilClosed()).toEndWith('\x82\x02AB\x88\x00');
});

test('a websocket of an old version has all streams in text frames; without a key there is none', async () => {
  await using server = await serve({ containers: { attach: () => Promise.resolve(echo(false)) } });
  using wire = new Wire(server.path);
  wire.send(`GET /v1.27/containers/x/attach/ws HTTP/1.1\r\n${websocketHead}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`);
  await wire.until('\r\n\r\n');
  expect(await wire.halfClose().untilClosed()).toContain('\x81\x04bye\n');
  using refused = new Wire(server.path);
  refused.send(`GET /containers/x/attach/ws HTTP/1.1\r\n${websocketHead}\r\n`);
  expect(await refused.untilClosed()).toContain('not a websocket request');
});

test('a refused attach is told as plain text under its status', async () => {
  await using server = await serve({ containers: { attach: () => Promise.reject(conflict('container x is paused, unpause it')) } });
  using wire = new Wire(server.path);
  wire.send(`POST /containers/x/attach HTTP/1.1\r\n${upgrade}\r\n`);
  const answer = await wire.untilClosed();
  expect(answer).toStartWith('HTTP/1.1 409 Conflict\r\n');
  expect(answer).toContain('Content-Type: application/vnd.docker.raw-stream\r\n');
  expect(answer).toEndWith('\r\n\r\ncontainer x is paused, unpause it\r\n');
});

for (const [how, encoded] of [
  ['a length', `Content-Length: ${body.length}\r\n\r\n${body}`],
  ['chunks', `Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`],
] as const) {
  test(`exec start reads a body with ${how} before the stream begins`, async () => {
    await using server = await serve({ containers: { startExec: () => echo(false) } });
    using wire = new Wire(server.path);
    wire.send(`POST /exec/e/start HTTP/1.1\r\n${upgrade}Content-Type: application/json\r\n${encoded}early `);
    expect(await wire.until('EARLY ')).toContain('Api-Version: 1.51\r\n');
    expect(await wire.send('late').halfClose().untilClosed()).toEndWith(frameText(1, 'LATE') + frameText(2, 'bye\n'));
  });
}

test('exec start of an unknown exec answers JSON, upgrade or not', async () => {
  await using server = await serve({
    containers: {
      startExec: () => {
        throw notFound('No such exec instance: e');
      },
    },
  });
  using wire = new Wire(server.path);
  wire.send(`POST /exec/e/start HTTP/1.1\r\n${upgrade}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  const answer = await wire.untilClosed();
  expect(answer).toStartWith('HTTP/1.1 404 Not Found\r\n');
  expect(answer).toEndWith('\r\n\r\n{"message":"No such exec instance: e"}\n');
  const plain = await request(server, 'POST', '/exec/e/start', { body });
  expect(plain.status).toBe(404);
  expect(await plain.json()).toEqual({ message: 'No such exec instance: e' });
});

test('a reader that stops holds the process back, and gets everything in the end', async () => {
  const total = 8 * 1024 * 1024;
  let written = 0;
  let isHeld = false;
  await using server = await serve({
    containers: {
      attach: () =>
        Promise.resolve({
          tty: true,
          async run(client: ClientStream): Promise<AttachEnd> {
            const piece = Buffer.alloc(8192, 'x');
            for (; written < total; written += piece.length) {
              const full = client.write('stdout', piece);
              if (full !== undefined) {
                isHeld = true;
                await full;
                isHeld = false;
              } else if (written % (1024 * 1024) === 0) await new Promise(resolve => setImmediate(resolve));
            }
            return 'ended';
          },
        }),
    },
  });
  using wire = new Wire(server.path);
  wire.socket.once('data', () => wire.socket.pause());
  wire.send(`POST /containers/x/attach?stream=1 HTTP/1.1\r\n${upgrade}\r\n`);
  await wire.until('101 UPGRADED');
  // Both ends share one event loop: when it has turned over and over while the writer was held, only the client can let it go on.
  let before = -1;
  for (let turns = 0; turns < 100 && written < total; turns = isHeld && before === written ? turns + 1 : 0) {
    before = written;
    await new Promise(resolve => setImmediate(resolve));
  }
  expect(written).toBeLessThan(total / 2);
  wire.socket.resume();
  await wire.untilClosed();
  expect(wire.received.length - wire.received.indexOf('\r\n\r\n') - 4).toBe(total);
});

test('a client that goes away aborts `gone`', async () => {
  const gone = Promise.withResolvers<string>();
  await using server = await serve({
    containers: {
      attach: () =>
        Promise.resolve({
          tty: true,
          run: async (client: ClientStream): Promise<AttachEnd> => {
            client.gone.addEventListener('abort', () => gone.resolve('gone'));
            // Only writing shows that a connection closed in both directions.
            while (!client.gone.aborted) {
              await client.write('stdout', Buffer.from('.'));
              await new Promise(resolve => setImmediate(resolve));
            }
            return 'gone';
          },
        }),
    },
  });
  const wire = new Wire(server.path);
  wire.send(`POST /containers/x/attach?stream=1 HTTP/1.1\r\n${upgrade}\r\n`);
  await wire.until('101 UPGRADED');
  wire.socket.destroy();
  expect(await gone.promise).toBe('gone');
});

import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serveGrpc } from './grpc-server.ts';
import { encodeMessage, Message } from './protobuf.ts';
import { clientHandlers } from './services.ts';

describe('what a daemon can ask of a client', () => {
  let folder: string;
  let listener: Server;
  let agent: Server;
  let session: ClientHttp2Session;
  let serving: Disposable;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'berth-session-'));
    const place = join(folder, 'daemon');
    const accepted = Promise.withResolvers<Socket>();
    listener = createServer(accepted.resolve).listen(place);
    agent = createServer(socket => socket.pipe(socket)).listen(join(folder, 'agent'));
    await Promise.all([listener, agent].map(server => new Promise(resolve => server.once('listening', resolve))));
    const ours = connect(place);
    const theirs = await accepted.promise;
    serving = serveGrpc(
      ours,
      clientHandlers({
        files: { files: () => [], chunks: () => [] },
        onFileBytes: () => undefined,
        secret: id => Promise.resolve(id === 'known' ? Buffer.from('value') : undefined),
        agentSocket: id => (id === 'default' ? join(folder, 'agent') : undefined),
        credentials: host => Promise.resolve({ username: host, secret: 'x' }),
      }),
    );
    session = connectHttp2('http://localhost', { createConnection: () => theirs });
  });
  afterEach(() => {
    session.destroy();
    serving[Symbol.dispose]();
    listener.close();
    agent.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const framed = (message: Uint8Array): Buffer => {
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.length, 1);
    return Buffer.concat([prefix, message]);
  };

  async function call(path: string, messages: readonly Uint8Array[], headers: Record<string, string> = {}) {
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...headers });
    let status: string | undefined;
    stream.on('trailers', trailers => (status = String(trailers['grpc-status'])));
    for (const message of messages) stream.write(framed(message));
    stream.end();
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    return { status, first: bytes.length < 5 ? undefined : new Message(bytes.subarray(5, 5 + bytes.readUInt32BE(1))) };
  }

  test('a secret, and one that there is not', async () => {
    const known = await call('/moby.buildkit.secrets.v1.Secrets/GetSecret', [encodeMessage([[1, 'known']])]);
    expect([known.status, known.first?.text(1)]).toEqual(['0', 'value']);
    const unknown = await call('/moby.buildkit.secrets.v1.Secrets/GetSecret', [encodeMessage([[1, 'other']])]);
    expect([unknown.status, unknown.first]).toEqual(['5', undefined]);
  });

  test('credentials', async () => {
    const { first } = await call('/moby.filesync.v1.Auth/Credentials', [encodeMessage([[1, 'example.com']])]);
    expect([first?.text(1), first?.text(2)]).toEqual(['example.com', 'x']);
  });

  test('bytes go to the agent and back', async () => {
    expect((await call('/moby.sshforward.v1.SSH/CheckAgent', [encodeMessage([[1, 'nobody']])])).status).toBe('5');
    const { status, first } = await call('/moby.sshforward.v1.SSH/ForwardAgent', [encodeMessage([[1, 'to the agent']])], {
      'buildkit.ssh.id': 'default',
    });
    expect([status, first?.text(1)]).toEqual(['0', 'to the agent']);
  });

  test('what it does not know', async () => {
    expect((await call('/some.Service/Method', [])).status).toBe('12');
  });
});

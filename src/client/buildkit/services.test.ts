import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
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
        secret: id => Promise.resolve(id === 'known' ? Buffer.from('value') : undefined),
        agentSocket: id => (id === 'default' ? join(folder, 'agent') : undefined),
        credentials: host => Promise.resolve({ username: host, secret: 'x' }),
        results: new Map([
          [0, { kind: 'file', path: join(folder, 'result') }],
          [1, { kind: 'directory', path: join(folder, 'files') }],
        ]),
        stores: new Map([['local', join(folder, 'layout')]]),
        archive: () => new Blob(['archive']).stream(),
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

  const bytesOf = (text: string): Uint8Array => encodeMessage([[1, text]]);

  test('an archive that is read while it is sent', async () => {
    expect((await call('/moby.upload.v1.Upload/Pull', [])).first?.text(1)).toBe('archive');
  });

  test('a result goes into its file, which is there when all of it is', async () => {
    const sent = await call('/moby.filesync.v1.FileSend/DiffCopy', [bytesOf('one '), bytesOf('two')], {
      'buildkit-attachable-exporter-id': '0',
    });
    expect([sent.status, readFileSync(join(folder, 'result'), 'utf8')]).toEqual(['0', 'one two']);
    expect((await call('/moby.filesync.v1.FileSend/DiffCopy', [], { 'buildkit-attachable-exporter-id': '7' })).status).toBe('5');
  });

  test('files of a result stay in their directory, beside what was there', async () => {
    mkdirSync(join(folder, 'files'));
    writeFileSync(join(folder, 'files/old'), 'old');
    symlinkSync('/etc', join(folder, 'files/away'));
    const stat = (path: string, mode: number, link = ''): Uint8Array =>
      encodeMessage([
        [
          2,
          encodeMessage([
            [1, path],
            [2, mode],
            [7, link],
          ]),
        ],
      ]);
    const target = { 'buildkit-attachable-exporter-id': '1' };
    const end = encodeMessage([]);
    const data = (id: number, text: string): Uint8Array =>
      encodeMessage([
        [1, 2],
        [3, id],
        [4, text],
      ]);
    const files = [stat('away', 2 ** 31 + 0o755), stat('away/f', 0o640), end, data(1, 'text'), data(1, ''), encodeMessage([[1, 3]])];
    expect((await call('/moby.filesync.v1.FileSend/DiffCopy', files, target)).status).toBe('0');
    expect(readdirSync(join(folder, 'files')).sort()).toEqual(['away', 'old']);
    expect(readFileSync(join(folder, 'files/away/f'), 'utf8')).toBe('text');
    expect((await call('/moby.filesync.v1.FileSend/DiffCopy', [stat('../out', 0o644)], target)).status).toBe('2');
  });

  test('blobs are written under their digests, and read again', async () => {
    const store = { 'buildkit-attachable-store-id': 'local' };
    const content = '/containerd.services.content.v1.Content';
    const digest = `sha256:${new Bun.CryptoHasher('sha256').update('blob').digest('hex')}`;
    const write = (expected: string): Uint8Array[] => [
      encodeMessage([
        [2, 'x'],
        [3, 4],
        [4, expected],
      ]),
      encodeMessage([
        [1, 1],
        [2, 'x'],
        [3, 4],
        [4, expected],
        [6, 'blob'],
      ]),
      encodeMessage([
        [1, 2],
        [2, 'x'],
        [3, 4],
        [4, expected],
        [5, 4],
      ]),
    ];
    expect((await call(`${content}/Write`, write(digest.replace(/.{4}$/, '0000')), store)).status).toBe('9');
    expect((await call(`${content}/Write`, write(digest), store)).status).toBe('0');
    expect(readdirSync(join(folder, 'layout/blobs/sha256'))).toEqual([digest.slice(7)]);
    expect((await call(`${content}/Write`, write(digest), store)).status).toBe('6');
    const read = await call(
      `${content}/Read`,
      [
        encodeMessage([
          [1, digest],
          [2, 1],
        ]),
      ],
      store,
    );
    expect(read.first?.text(2)).toBe('lob');
    expect((await call(`${content}/Info`, [bytesOf(digest)], store)).first?.message(1).number(2)).toBe(4);
    expect((await call(`${content}/Info`, [bytesOf('../../x')], store)).status).toBe('3');
    expect((await call(`${content}/Info`, [bytesOf(digest)], { 'buildkit-attachable-store-id': 'other' })).status).toBe('5');
  });

  test('what it does not know', async () => {
    expect((await call('/some.Service/Method', [])).status).toBe('12');
  });
});

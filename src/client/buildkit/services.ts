import { connect } from 'node:net';
import { encodeMessage, Message } from './protobuf.ts';
import { GrpcError, grpcStatus, type Call, type Handler, type Handlers } from './grpc-server.ts';
import { syncFiles, type SyncSource } from './file-sync.ts';
import { blobStores } from './blob-store.ts';
import { receiveResults, type ResultTarget } from './results.ts';
import { upload } from './upload.ts';

/** What a build may ask of the client. */
export interface ClientServices {
  readonly files: SyncSource;
  /** Undefined when there is no such secret. */
  secret(id: string): Promise<Uint8Array | undefined>;
  /** The socket of an SSH agent; undefined when there is none of this name. */
  agentSocket(id: string): string | undefined;
  /** Empty when nothing is known for a registry. */
  credentials(host: string): Promise<{ readonly username: string; readonly secret: string }>;
  /** Where what exporters send is put, by their places in the build's order. */
  readonly results: ReadonlyMap<number, ResultTarget>;
  /** Directories with OCI layouts that the daemon may read and write, by the names of their stores. */
  readonly stores: ReadonlyMap<string, string>;
  /** The context, when it is an archive. Read once. */
  readonly archive: (() => ReadableStream<Uint8Array>) | undefined;
}

/** The services of a build's session, by method. */
export function clientHandlers(services: ClientServices): Handlers {
  return {
    '/moby.filesync.v1.FileSync/DiffCopy': syncFiles(services.files),
    '/moby.filesync.v1.Auth/Credentials': unary(async request => {
      const { username, secret } = await services.credentials(request.text(1));
      return encodeMessage([
        [1, username],
        [2, secret],
      ]);
    }),
    '/moby.buildkit.secrets.v1.Secrets/GetSecret': unary(async request => {
      const id = request.text(1);
      const data = await services.secret(id);
      if (data === undefined) throw new GrpcError(grpcStatus.notFound, `secret ${id} not found`);
      return encodeMessage([[1, data]]);
    }),
    '/moby.sshforward.v1.SSH/CheckAgent': unary(async request => {
      agentOf(services, request.text(1));
      return new Uint8Array(0);
    }),
    '/moby.sshforward.v1.SSH/ForwardAgent': forwardAgent(services),
    '/moby.filesync.v1.FileSend/DiffCopy': receiveResults(services.results),
    '/moby.upload.v1.Upload/Pull': upload(services.archive),
    ...(services.stores.size > 0 && blobStores(services.stores)),
  };
}

const unary =
  (answer: (request: Message) => Promise<Uint8Array>): Handler =>
  async call => {
    for await (const bytes of call.requests) {
      await call.send(await answer(new Message(bytes)));
      return;
    }
  };

function agentOf({ agentSocket }: ClientServices, id: string): string {
  const name = id === '' ? 'default' : id;
  const path = agentSocket(name);
  if (path === undefined) throw new GrpcError(grpcStatus.notFound, `unset ssh forward key ${name}`);
  return path;
}

/** Carries bytes between the daemon and an agent's socket until one of them has no more. */
const forwardAgent =
  (services: ClientServices): Handler =>
  async (call: Call) => {
    const socket = connect(agentOf(services, call.metadata.all('buildkit.ssh.id')[0] ?? ''));
    call.signal.addEventListener('abort', () => socket.destroy(), { once: true });
    const incoming = (async () => {
      for await (const bytes of call.requests) socket.write(new Message(bytes).bytes(1));
      socket.end();
    })();
    for await (const chunk of socket as AsyncIterable<Buffer>) await call.send(encodeMessage([[1, chunk]]));
    await incoming;
  };

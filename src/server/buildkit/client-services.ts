import { createServer, type Socket } from 'node:net';
import { kindOf, messageOf, unauthenticated } from '#base/errors.ts';
import type { ClientSecrets } from '#builder/ports.ts';
import type { RegistryAuth } from '#core/registry.ts';
import type { ClientSession, SessionCall } from './client-session.ts';
import { type Codec, codec } from './codec.ts';

interface BytesMessage {
  readonly data: Uint8Array;
}

export const bytesMessages: Codec<BytesMessage> = codec('moby.session.BytesMessage');
const secret = {
  request: codec<{ readonly ID: string }>('moby.session.GetSecretRequest'),
  answer: codec<BytesMessage>('moby.session.GetSecretResponse'),
};
const agent = {
  request: codec<{ readonly ID: string }>('moby.session.CheckAgentRequest'),
  answer: codec<object>('moby.session.CheckAgentResponse'),
};
const credentials = {
  request: codec<{ readonly Host: string }>('moby.session.CredentialsRequest'),
  answer: codec<{ readonly Username: string; readonly Secret: string }>('moby.session.CredentialsResponse'),
};

const tokens = {
  request: codec<{
    readonly ClientID: string;
    readonly Host: string;
    readonly Realm: string;
    readonly Service: string;
    readonly Scopes: readonly string[];
  }>('moby.session.FetchTokenRequest'),
  answer: codec<{ readonly Token: string; readonly ExpiresIn: number }>('moby.session.FetchTokenResponse'),
};

/** What the client of a session has for `--mount=type=secret` and `type=ssh`. */
export function secretsOf(session: ClientSession): ClientSecrets {
  return {
    async secret(id, signal) {
      try {
        return (await session.ask('/moby.buildkit.secrets.v1.Secrets/GetSecret', { ID: id }, secret, signal)).data;
      } catch (err) {
        if (kindOf(err) === 'NotFound' || kindOf(err) === 'NotImplemented') return undefined;
        throw err;
      }
    },
    async agent(id, socketPath, signal) {
      try {
        await session.ask('/moby.sshforward.v1.SSH/CheckAgent', { ID: id }, agent, signal);
      } catch (err) {
        if (/unset ssh forward key/.test(String(err)) || kindOf(err) === 'NotFound' || kindOf(err) === 'NotImplemented') return undefined;
        throw err;
      }
      return await forwardAgent(session, id, socketPath, signal);
    },
  };
}

/** The largest message that gets through in one piece. */
const chunkBytes = 16 * 1024;

async function forwardAgent(session: ClientSession, id: string, socketPath: string, signal: AbortSignal): Promise<AsyncDisposable> {
  const open = new Set<Socket>();
  const server = createServer(socket => {
    open.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => open.delete(socket));
    void (async () => {
      try {
        await carry(socket, session.call('/moby.sshforward.v1.SSH/ForwardAgent', { 'buildkit.ssh.id': id }, signal));
      } catch {
        // Whoever asks the agent sees that it has gone.
        socket.destroy();
      }
    })();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, resolve);
  });
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise(resolve => void server.close(resolve));
    },
  };
}

async function carry(socket: Socket, call: SessionCall): Promise<void> {
  const out = (async () => {
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; at += chunkBytes)
        await call.send(bytesMessages.encode({ data: chunk.subarray(at, at + chunkBytes) }));
    }
    call.end();
  })();
  for await (const message of call.messages) socket.write(bytesMessages.decode(message).data);
  socket.end();
  await out;
}

const tokenMethod = '/moby.filesync.v1.Auth/FetchToken';

/** How the client is let into a registry; undefined when it does not say. Where it can, it asks for tokens itself and keeps its credentials. */
export async function authOf(session: ClientSession, domain: string, signal: AbortSignal): Promise<RegistryAuth | undefined> {
  const host = domain === 'docker.io' ? 'registry-1.docker.io' : domain;
  if (!session.serves(tokenMethod)) return await credentialsOf(session, host, signal);
  return {
    keeper: {
      id: `${session.id} ${host}`,
      credentials: stop => credentialsOf(session, host, stop),
      async token({ realm, service, scopes }, stop) {
        const request = { ClientID: 'berth', Host: host, Realm: realm, Service: service, Scopes: scopes };
        try {
          const { Token, ExpiresIn } = await session.ask(tokenMethod, request, tokens, stop);
          return Token === '' ? undefined : { token: Token, lifetimeMs: ExpiresIn * 1000 };
        } catch (err) {
          // A client may be told to give its credentials instead (BUILDKIT_NO_CLIENT_TOKEN).
          if (kindOf(err) === 'NotImplemented' || kindOf(err) === 'Unavailable') return undefined;
          throw unauthenticated(messageOf(err), { cause: err });
        }
      },
    },
  };
}

async function credentialsOf(session: ClientSession, host: string, signal: AbortSignal): Promise<RegistryAuth | undefined> {
  try {
    const { Username, Secret } = await session.ask('/moby.filesync.v1.Auth/Credentials', { Host: host }, credentials, signal);
    if (Secret === '') return undefined;
    return Username === '' ? { identityToken: Secret } : { username: Username, password: Secret };
  } catch (err) {
    if (kindOf(err) === 'NotImplemented') return undefined;
    throw err;
  }
}

/** An archive that the client has on its standard input: `http://buildkit-session/<id>`. */
export async function* pullUpload(session: ClientSession, url: URL, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  const call = session.call('/moby.upload.v1.Upload/Pull', { urlpath: url.pathname, urlhost: url.host }, signal);
  call.end();
  for await (const message of call.messages) yield bytesMessages.decode(message).data;
}

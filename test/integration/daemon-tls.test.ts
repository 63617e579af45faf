import { expect } from 'bun:test';
import { Authority } from '#test/helpers/authority.ts';
import { tempFolder, type TestDaemon, startDaemon } from '#test/helpers/daemon.ts';
import { dockerCommand } from '#test/helpers/docker-cli.ts';
import { needs } from '#test/helpers/needs.ts';
import { freePort } from '#test/helpers/registry.ts';
import { run, type RunResult } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'openssl');

type Files = Awaited<ReturnType<Authority['sign']>>;
const tlsFlags = ({ ca, cert, key }: Files): string[] => ['--tlsverify', '--tlscacert', ca, '--tlscert', cert, '--tlskey', key];

const docker = async (port: number, files: Files | undefined, ...args: readonly string[]): Promise<RunResult> =>
  await run([...dockerCommand(), '-H', `tcp://127.0.0.1:${String(port)}`, ...(files === undefined ? [] : tlsFlags(files)), ...args], {
    env: { DOCKER_HOST: undefined, DOCKER_TLS_VERIFY: undefined },
  });

/** Why a daemon with these flags ended instead of listening. */
async function refusal(...args: readonly string[]): Promise<string> {
  await using folder = await tempFolder();
  const daemon: TestDaemon | string = await startDaemon({ args, busybox: false, dataRoot: `${folder.path}/data` }).catch(String);
  if (typeof daemon === 'string') return daemon;
  await daemon[Symbol.asyncDispose]();
  return 'it started';
}

describe('a daemon on TCP', () => {
  test('with --tlsverify lets in who has a certificate of its authority, and nobody else', async () => {
    await using ours = await Authority.make();
    await using theirs = await Authority.make();
    const [server, client, stranger] = [await ours.sign('server'), await ours.sign('client'), await theirs.sign('client')];
    const port = await freePort();
    await using daemon = await startDaemon({ args: ['-H', `tcp://127.0.0.1:${String(port)}`, ...tlsFlags(server)] });

    const ran = await docker(port, client, 'run', '-i', '--rm', 'busybox', 'echo', 'over TLS');
    expect(ran).toMatchObject({ exitCode: 0, stdout: 'over TLS\n' });

    const wrongAuthority = await docker(port, { ...stranger, ca: client.ca }, 'ps');
    expect(wrongAuthority.exitCode).toBe(1);
    expect(wrongAuthority.stderr).toContain('error during connect');
    const wrongServer = await docker(port, { ...client, ca: stranger.ca }, 'ps');
    expect(wrongServer.stderr).toContain('certificate');
    const none = await fetch(`https://127.0.0.1:${String(port)}/_ping`, { tls: { rejectUnauthorized: false } }).then(
      response => response.status,
      () => 'refused',
    );
    expect(none).toBe('refused');
    const plain = await fetch(`http://127.0.0.1:${String(port)}/_ping`).then(
      response => response.status,
      () => 'refused',
    );
    expect(plain).not.toBe(200);

    // Whoever was refused has not hurt anybody.
    expect((await docker(port, client, 'ps', '-q')).exitCode).toBe(0);
    expect((await daemon.api.get('/_ping')).text).toBe('OK');
  }, 30_000);

  test('without TLS is refused, unless the operator insists', async () => {
    const port = await freePort();
    const host = `tcp://127.0.0.1:${String(port)}`;
    const why = await refusal('-H', host);
    expect(why).toContain('without TLS whoever can connect is root on this machine');
    expect(why).toContain('--allow-insecure-tcp');
    await using daemon = await startDaemon({ args: ['-H', host, '--allow-insecure-tcp'], busybox: false });
    expect((await docker(port, undefined, 'version', '--format', '{{.Server.Os}}')).stdout).toBe('linux\n');
    expect(await daemon.log()).toContain('listening on TCP without TLS');
  }, 30_000);

  test('names the certificate file that it cannot read, and the address that is in use', async () => {
    const host = 'tcp://127.0.0.1:0';
    expect(await refusal('-H', host, '--tlsverify', '--tlscacert', '/no/ca', '--tlscert', '/no/cert', '--tlskey', '/no/key')).toContain(
      '/no/cert',
    );
    using blocker = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data: () => undefined } });
    const taken = `tcp://127.0.0.1:${String(blocker.port)}`;
    expect(await refusal('-H', taken, '--allow-insecure-tcp')).toContain(`cannot listen on ${taken}: the address is in use`);
  }, 60_000);
});

import { afterAll, beforeAll, expect } from 'bun:test';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { needs } from '#test/helpers/needs.ts';
import { type Registry, startRegistry } from '#test/helpers/registry.ts';
import { run, runOk } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'docker-registry', 'skopeo');
const skopeo = (...args: string[]): Promise<string> => runOk(['skopeo', '--insecure-policy', ...args]);

/** Debian's registry and skopeo as the other side. */
describe('real registries', () => {
  const daemon = sharedDaemon({ args: ['--insecure-registry', '127.0.0.0/8'] });
  let registry: Registry;
  beforeAll(async () => {
    registry = await startRegistry();
  });
  afterAll(async () => registry?.[Symbol.asyncDispose]());
  const ok = async (...args: string[]): Promise<string> => (await daemon().dockerOk(...args)).trim();

  test('what we push, we and skopeo can pull', async () => {
    const name = `${registry.address}/team/busybox:1`;
    await ok('tag', 'busybox', name);
    const said = await ok('push', name);
    expect(said).toMatch(/1: digest: sha256:[0-9a-f]{64} size: \d+/);
    const id = await ok('inspect', '-f', '{{.Id}}', name);
    await ok('rmi', name);
    expect(await ok('pull', name)).toContain('Status: Downloaded newer image');
    expect(await ok('inspect', '-f', '{{.Id}}', name)).toBe(id);
    expect(await ok('pull', name)).toContain('Image is up to date');
    const inspected = JSON.parse(await skopeo('inspect', '--tls-verify=false', `docker://${name}`)) as {
      Layers: string[];
      Architecture: string;
    };
    expect(inspected.Layers.length).toBe(1);
    expect(await ok('inspect', '-f', '{{len .RepoDigests}}', name)).toBe('1');
    await ok('rmi', name);
  });

  test('what skopeo pushes, in both formats and with zstd, we can pull and run', async () => {
    await using folder = await tempFolder();
    await ok('save', '-o', `${folder.path}/image.tar`, 'busybox');
    for (const [tag, flags] of [
      ['docker', ['--format', 'v2s2']],
      ['oci', ['--format', 'oci']],
      ['zstd', ['--format', 'oci', '--dest-compress-format', 'zstd']],
    ] as const) {
      const name = `${registry.address}/skopeo/busybox:${tag}`;
      await skopeo('copy', '-q', '--dest-tls-verify=false', ...flags, `docker-archive:${folder.path}/image.tar`, `docker://${name}`);
      expect(await ok('run', '--rm', name, 'echo', tag)).toContain(tag);
      await ok('rmi', name);
    }
  });

  test('by digest; all tags; an unknown one', async () => {
    const name = `${registry.address}/digest/busybox`;
    await ok('tag', 'busybox', `${name}:a`);
    await ok('tag', 'busybox', `${name}:b`);
    await ok('push', '-q', '-a', name);
    const digest = JSON.parse(await skopeo('inspect', '--tls-verify=false', `docker://${name}:a`)) as { Digest: string };
    await ok('rmi', `${name}:a`, `${name}:b`);
    await ok('pull', '-q', `${name}@${digest.Digest}`);
    await ok('rmi', `${name}@${digest.Digest}`);
    await ok('pull', '-q', '-a', name);
    expect((await ok('images', '--format', '{{.Tag}}', name)).split('\n').toSorted()).toEqual(['a', 'b']);
    await ok('rmi', `${name}:a`, `${name}:b`);
    const unknown = await daemon().docker(['pull', `${name}:unknown`]);
    expect(unknown.exitCode).toBe(1);
    expect(unknown.stderr).toMatch(/manifest (for .* not found|unknown)/);
  });

  test('basic authentication: refused without, accepted with', async () => {
    const htpasswd = `user:${await Bun.password.hash('secret', { algorithm: 'bcrypt', cost: 4 })}\n`;
    await using guarded = await startRegistry({ htpasswd: htpasswd.replace('$2b$', '$2y$') });
    await using folder = await tempFolder();
    const env = { DOCKER_CONFIG: folder.path };
    const name = `${guarded.address}/private/busybox:1`;
    await ok('tag', 'busybox', name);
    const refused = await daemon().docker(['push', name], { env });
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toMatch(/no basic auth credentials|unauthorized|authentication required/);
    const wrong = await daemon().docker(['login', '-u', 'user', '--password-stdin', guarded.address], { env, stdin: 'wrong' });
    expect(wrong.exitCode).toBe(1);
    const login = await daemon().docker(['login', '-u', 'user', '--password-stdin', guarded.address], { env, stdin: 'secret' });
    expect(login.stdout).toContain('Login Succeeded');
    expect((await daemon().docker(['push', name], { env })).exitCode).toBe(0);
    await ok('rmi', name);
    expect((await daemon().docker(['pull', name], { env })).exitCode).toBe(0);
    await ok('rmi', name);
    expect(await daemon().log()).not.toContain('secret');
  });

  test('skopeo asks the daemon itself with an API older than any that Docker serves today, and is told so', async () => {
    await using folder = await tempFolder();
    const source = [`--src-daemon-host=${daemon().host}`, 'docker-daemon:busybox:latest'];
    const { exitCode, stderr } = await run(['skopeo', '--insecure-policy', 'copy', '-q', ...source, `oci:${folder.path}/layout:busybox`]);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('client version 1.22 is too old. Minimum supported API version is 1.24');
  });
});

import { afterAll, beforeAll, expect } from 'bun:test';
import { join } from 'node:path';
import { baseImage } from '../../../scripts/base-images.ts';
import { type BerthRegistry, jsonOf, startBerthRegistry } from '#test/helpers/berth-registry.ts';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { dockerCommand } from '#test/helpers/docker-cli.ts';
import { type Dockerd, startDockerd } from '#test/helpers/dockerd.ts';
import { needs } from '#test/helpers/needs.ts';
import { startRegistry } from '#test/helpers/registry.ts';
import { run, runOk } from '#test/helpers/run.ts';

const skopeo = (...args: string[]): Promise<string> => runOk(['skopeo', '--insecure-policy', ...args]);

async function usersFile(): Promise<string> {
  return `ann:${(await Bun.password.hash('secret', { algorithm: 'bcrypt', cost: 4 })).replace('$2b$', '$2y$')}\n`;
}

needs('skopeo').describe('skopeo', () => {
  let registry: BerthRegistry;
  let archive: string;
  beforeAll(async () => {
    archive = await baseImage('busybox');
    registry = await startBerthRegistry();
  });
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
  });
  const insecure = ['--src-tls-verify=false', '--dest-tls-verify=false'];
  interface Inspected {
    readonly Digest: string;
    readonly Layers: string[];
    readonly RepoTags: string[];
  }
  const inspect = async (name: string): Promise<Inspected> =>
    JSON.parse(await skopeo('inspect', '--tls-verify=false', `docker://${name}`)) as Inspected;

  needs('skopeo').test.each([
    ['docker', ['--format', 'v2s2']],
    ['oci', ['--format', 'oci']],
    ['zstd', ['--format', 'oci', '--dest-compress-format', 'zstd']],
  ])('copies an image there and back as %s', async (tag, flags) => {
    await using folder = await tempFolder();
    const name = `${registry.address}/skopeo/busybox:${tag}`;
    await skopeo('copy', '-q', ...insecure, ...flags, `docker-archive:${archive}`, `docker://${name}`);
    await skopeo('copy', '-q', ...insecure, '--preserve-digests', `docker://${name}`, `dir:${folder.path}/there`);
    const { Digest: digest } = await inspect(name);
    const manifest = await Bun.file(join(folder.path, 'there/manifest.json')).bytes();
    expect(`sha256:${new Bun.CryptoHasher('sha256').update(manifest).digest('hex')}`).toBe(digest);
  });

  needs('skopeo').test('copies between repositories, lists tags and deletes', async () => {
    const [from, to] = [`${registry.address}/copy/from`, `${registry.address}/copy/to`];
    await skopeo('copy', '-q', ...insecure, `docker-archive:${archive}`, `docker://${from}:1`);
    await skopeo('copy', '-q', ...insecure, `docker://${from}:1`, `docker://${to}:a`);
    await skopeo('copy', '-q', ...insecure, `docker://${from}:1`, `docker://${to}:b`);
    expect(JSON.parse(await skopeo('list-tags', '--tls-verify=false', `docker://${to}`))).toEqual({ Repository: to, Tags: ['a', 'b'] });
    expect((await inspect(`${from}:1`)).Layers).toEqual((await inspect(`${to}:b`)).Layers);
    // skopeo deletes the manifest that a tag names, and so every tag of it.
    await skopeo('delete', '--tls-verify=false', `docker://${to}:a`);
    expect((await run(['skopeo', 'inspect', '--tls-verify=false', `docker://${to}:b`])).exitCode).toBe(1);
    expect((await inspect(`${from}:1`)).RepoTags).toEqual(['1']);
  });

  needs('skopeo').test('copies an index with all its images', async () => {
    const name = 'skopeo/multi';
    await skopeo('copy', '-q', ...insecure, '--format', 'oci', `docker-archive:${archive}`, `docker://${registry.address}/${name}:one`);
    const one = await registry.call('GET', `/v2/${name}/manifests/one`);
    const index = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [
        {
          mediaType: one.headers.get('content-type'),
          digest: one.headers.get('docker-content-digest'),
          size: one.bytes.length,
          platform: { os: 'linux', architecture: 'amd64' },
        },
      ],
    };
    expect(
      (
        await registry.call('PUT', `/v2/${name}/manifests/all`, {
          body: JSON.stringify(index),
          headers: { 'Content-Type': index.mediaType },
        })
      ).status,
    ).toBe(201);
    await using folder = await tempFolder();
    await skopeo('copy', '-q', ...insecure, '--all', `docker://${registry.address}/${name}:all`, `oci:${folder.path}/layout:all`);
    await skopeo('copy', '-q', ...insecure, '--all', `oci:${folder.path}/layout:all`, `docker://${registry.address}/skopeo/again:all`);
    const again = jsonOf(await registry.call('GET', '/v2/skopeo/again/manifests/all')) as typeof index;
    expect(again.manifests.map(({ digest }) => digest)).toEqual(index.manifests.map(({ digest }) => digest));
  });

  needs('skopeo').test('with a password, and without one where anonymous users may read', async () => {
    await using guarded = await startBerthRegistry({
      files: { users: await usersFile() },
      config: folder => ({ auth: { htpasswd: { path: join(folder, 'users') }, anonymous: 'pull' } }),
    });
    const name = `docker://${guarded.address}/a/busybox:1`;
    const refused = await run(['skopeo', '--insecure-policy', 'copy', '-q', '--dest-tls-verify=false', `docker-archive:${archive}`, name]);
    expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringMatching(/unauthorized|denied/) as unknown as string]);
    await skopeo('copy', '-q', '--dest-tls-verify=false', '--dest-creds', 'ann:secret', `docker-archive:${archive}`, name);
    expect(await skopeo('inspect', '--tls-verify=false', name)).toContain('"Layers"');
  });
});

needs('root', 'conmon', 'nft').describe('our daemon', () => {
  const daemon = sharedDaemon({ args: ['--insecure-registry', '127.0.0.0/8'] });

  needs('root', 'conmon', 'nft').test('pushes, pulls and logs in, with the stock command line', async () => {
    await using registry = await startBerthRegistry({
      files: { users: await usersFile() },
      config: folder => ({ auth: { htpasswd: { path: join(folder, 'users') }, anonymous: 'pull' } }),
    });
    await using folder = await tempFolder();
    const env = { DOCKER_CONFIG: folder.path };
    await clientTour((args, stdin) => daemon().docker(args, { env, ...(stdin !== undefined && { stdin }) }), registry.address);
  });

  needs('root', 'conmon', 'nft', 'docker-registry').test(
    'what the reference registry has stored is served as it is, and it serves what we have',
    async () => {
      const docker = (...args: string[]): Promise<string> => daemon().dockerOk(...args);
      const reference = await startRegistry();
      const theirs = `${reference.address}/theirs/busybox:1`;
      await docker('tag', 'busybox', theirs);
      await docker('push', '-q', theirs);
      await docker('rmi', theirs);
      await reference.stop();
      const registry = await startBerthRegistry({ data: join(reference.folder, 'data') });
      await docker('pull', '-q', `${registry.address}/theirs/busybox:1`);
      const ours = `${registry.address}/ours/busybox:2`;
      await docker('tag', 'busybox', ours);
      await docker('push', '-q', ours);
      await docker('rmi', ours, `${registry.address}/theirs/busybox:1`);
      expect(await registry.stop()).toBe(0);
      await reference.start();
      for (const name of ['ours/busybox:2', 'theirs/busybox:1']) {
        await docker('pull', '-q', `${reference.address}/${name}`);
        await docker('rmi', `${reference.address}/${name}`);
      }
      const listed = (await (await fetch(`http://${reference.address}/v2/_catalog`)).json()) as unknown;
      expect(listed).toEqual({ repositories: ['ours/busybox', 'theirs/busybox'] });
      await registry[Symbol.asyncDispose]();
      await reference[Symbol.asyncDispose]();
    },
  );

  needs('root', 'conmon', 'nft').test('pulls through a cache', async () => {
    await using origin = await startBerthRegistry();
    await using cache = await startBerthRegistry({ config: { proxy: { remoteurl: origin.url } } });
    const docker = (...args: string[]): Promise<string> => daemon().dockerOk(...args);
    await docker('tag', 'busybox', `${origin.address}/a/busybox:1`);
    await docker('push', '-q', `${origin.address}/a/busybox:1`);
    const name = `${cache.address}/a/busybox:1`;
    expect(await docker('run', '--rm', name, 'echo', 'through')).toContain('through');
    await docker('rmi', name, `${origin.address}/a/busybox:1`);
    await origin.stop();
    await docker('pull', '-q', name);
    await docker('rmi', name);
    const refused = await daemon().docker(['push', name]);
    expect(refused.exitCode).toBe(1);
  });
});

needs('root', 'dockerd').describe("Docker's daemon", () => {
  let dockerd: Dockerd;
  beforeAll(async () => {
    dockerd = await startDockerd();
  });
  afterAll(async () => {
    await dockerd?.[Symbol.asyncDispose]();
  });

  needs('root', 'dockerd').test('pushes, pulls, searches, and logs in', async () => {
    await using registry = await startBerthRegistry({
      beside: dockerd.pid,
      files: { users: await usersFile() },
      config: folder => ({ auth: { htpasswd: { path: join(folder, 'users') }, anonymous: 'pull' } }),
    });
    await using folder = await tempFolder();
    const env = { DOCKER_CONFIG: folder.path };
    await clientTour((args, stdin) => dockerd.docker(args, { env, ...(stdin !== undefined && { stdin }) }), registry.address);
    const found = await dockerd.docker(['search', '--format', '{{.Name}}', `${registry.address}/busybox`], { env });
    expect(
      found.stdout
        .trim()
        .split('\n')
        .map(line => line.replace(`${registry.address}/`, '')),
    ).toEqual(['other/busybox', 'team/busybox']);
  });

  needs('root', 'dockerd').test('with passwords for everything', async () => {
    await using registry = await startBerthRegistry({
      beside: dockerd.pid,
      files: { users: await usersFile() },
      config: folder => ({ auth: { htpasswd: { path: join(folder, 'users') } } }),
    });
    await using folder = await tempFolder();
    const docker = (args: string[], stdin?: string) =>
      run([...dockerCommand(), ...args], {
        env: { DOCKER_HOST: dockerd.host, DOCKER_CONFIG: folder.path },
        ...(stdin !== undefined && { stdin }),
      });
    const name = `${registry.address}/a/busybox:1`;
    await docker(['tag', 'busybox', name]);
    expect((await docker(['push', name])).stderr).toContain('no basic auth credentials');
    expect((await docker(['login', '-u', 'ann', '--password-stdin', registry.address], 'wrong')).exitCode).toBe(1);
    expect((await docker(['login', '-u', 'ann', '--password-stdin', registry.address], 'secret')).stdout).toContain('Login Succeeded');
    for (const args of [
      ['push', name],
      ['rmi', name],
      ['pull', name],
      ['rmi', name],
    ]) {
      const { exitCode, stderr } = await docker(args);
      expect([args[0], exitCode, stderr]).toEqual([args[0] ?? '', 0, '']);
    }
  });
});

/** What people do with a registry where everybody may read and `ann` may write. */
async function clientTour(
  docker: (args: string[], stdin?: string) => Promise<{ exitCode: number; stdout: string; stderr: string }>,
  address: string,
): Promise<void> {
  const ok = async (...args: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await docker(args);
    expect({ args, exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ args, exitCode: 0, stderr: '' });
    return stdout;
  };
  const name = `${address}/team/busybox`;
  await ok('tag', 'busybox', `${name}:1`);
  await ok('tag', 'busybox', `${name}:2`);
  expect((await docker(['push', `${name}:1`])).exitCode).toBe(1);
  expect((await docker(['login', '-u', 'ann', '--password-stdin', address], 'wrong')).exitCode).toBe(1);
  expect((await docker(['login', '-u', 'ann', '--password-stdin', address], 'secret')).stdout).toContain('Login Succeeded');
  const pushed = await ok('push', `${name}:1`);
  const digest = /digest: (sha256:[0-9a-f]{64})/.exec(pushed)?.[1] ?? '';
  expect(await ok('push', `${name}:2`)).toContain(digest);
  // Another repository gets its layers without sending them again.
  await ok('tag', 'busybox', `${address}/other/busybox:1`);
  expect(await ok('push', `${address}/other/busybox:1`)).toMatch(/Mounted from team\/busybox|Layer already exists/);
  await ok('rmi', `${name}:1`, `${name}:2`, `${address}/other/busybox:1`);
  await ok('logout', address);
  expect(await ok('pull', `${name}:2`)).toContain(digest);
  await ok('rmi', `${name}:2`);
  await ok('pull', `${name}@${digest}`);
  await ok('rmi', `${name}@${digest}`);
  await ok('pull', '-a', name);
  expect((await ok('images', '--format', '{{.Tag}}', name)).trim().split('\n').toSorted()).toEqual(['1', '2']);
  await ok('rmi', `${name}:1`, `${name}:2`);
  const unknown = await docker(['pull', `${name}:unknown`]);
  expect(unknown.stderr).toMatch(/manifest (for .* not found|unknown)/);
  expect((await docker(['pull', `${address}/no/such:1`])).exitCode).toBe(1);
}

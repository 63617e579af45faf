import { afterAll, beforeAll, expect } from 'bun:test';
import { type Digest, sha256 } from '#oci/digest.ts';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { makeImage } from '#test/helpers/make-image.ts';
import { needs } from '#test/helpers/needs.ts';
import { publishIndex } from '#test/helpers/publish-image.ts';
import { type SmallRegistry, startSmallRegistry } from '#test/helpers/small-registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

describe('an image for several platforms on the command line', () => {
  const daemon = sharedDaemon({ busybox: false });
  let registry: SmallRegistry;
  let index: Digest;
  let name: string;
  beforeAll(() => {
    registry = startSmallRegistry();
    const made = (architecture: string) => [architecture, { image: makeImage([architecture], { compress: true, architecture }) }] as const;
    index = publishIndex(registry, 'app', '1', Object.fromEntries(['amd64', 'arm64', 's390x'].map(made))).index;
    name = `${registry.address}/app:1`;
  });
  afterAll(() => registry[Symbol.asyncDispose]());
  const berth = async (...args: string[]): Promise<string> => {
    const { stdout, stderr, exitCode } = await daemon().berth(args);
    if (exitCode !== 0) throw new Error(stderr);
    return stdout.trim();
  };

  test('is one line, with its platforms below it on demand', async () => {
    await berth('pull', '-q', '--platform', 'linux/amd64', name);
    await berth('pull', '-q', '--platform', 'linux/arm64', name);
    expect(await berth('images', '--format', '{{.Repository}}:{{.Tag}}')).toBe(name);
    expect(await berth('images', '--digests', '--format', '{{.Digest}}')).toBe(index);
    const [head, top, ...platforms] = (await berth('images', '--tree')).split('\n');
    expect(head?.split(/\s{2,}/)).toEqual(['IMAGE', 'ID', 'DISK USAGE', 'CONTENT SIZE', 'EXTRA']);
    expect(top).toStartWith(name);
    expect(platforms.slice(0, 3).map(line => line.split(/\s{2,}/)[0])).toEqual(['├─ linux/amd64', '├─ linux/arm64', '└─ linux/s390x']);
    expect(await berth('images', '--filter', 'dangling=true', '-q')).toBe('');
    expect(daemon().berth(['images', '--tree', '-q'])).resolves.toMatchObject({
      stderr: expect.stringContaining('--quiet is not yet supported with --tree'),
    });
  });

  test('shows, saves and creates the platform that is asked for', async () => {
    expect(await berth('image', 'inspect', '--platform', 'linux/amd64', '--format', '{{.Architecture}}', name)).toBe('amd64');
    expect(await berth('history', '--platform', 'linux/amd64', '-q', '--no-trunc', name)).toStartWith('sha256:');
    expect((await daemon().berth(['image', 'inspect', '--platform', 'linux/s390x', name])).stderr).toContain(
      'does not provide the specified platform',
    );
    const id = await berth('create', '--platform', 'linux/amd64', name);
    const { Image } = await daemon().api.expect<{ Image: string }>('GET', `/containers/${id}/json`);
    expect(Image).toBe(await berth('image', 'inspect', '--platform', 'linux/amd64', '--format', '{{.Id}}', name));
    await berth('rm', id);
    const archive = `${daemon().folder}/both.tar`;
    await berth('save', '-o', archive, name);
    await berth('rmi', name);
    expect(await berth('images', '-aq')).toBe('');
    expect(await berth('load', '-i', archive)).toBe(`Loaded image: ${name}`);
    expect(await berth('image', 'inspect', '--platform', 'linux/arm64', '--format', '{{.Architecture}}', name)).toBe('arm64');
  });

  test('is pushed as a whole when the registry has the rest', async () => {
    await berth('tag', name, `${registry.address}/app:copy`);
    await berth('push', '-q', `${registry.address}/app:copy`);
    expect(sha256(registry.manifests.get('app:copy')?.bytes ?? new Uint8Array())).toBe(index);
  });

  test('is told of by its registry, without a pull', async () => {
    const { Descriptor, Platforms } = await daemon().api.expect<{ Descriptor: object; Platforms: object[] }>(
      'GET',
      `/distribution/${name}/json`,
    );
    expect(Descriptor).toMatchObject({ mediaType: 'application/vnd.oci.image.index.v1+json', digest: index });
    expect(Platforms).toEqual(['amd64', 'arm64', 's390x'].map(architecture => ({ architecture, os: 'linux' })));
    const [one, unknown] = [`${registry.address}/app:arm64`, `${registry.address}/app:none`];
    const single = await daemon().api.expect<{ Platforms: object[] }>('GET', `/distribution/${one}/json`);
    expect(single.Platforms).toEqual([{ architecture: 'arm64', os: 'linux' }]);
    expect((await daemon().api.get(`/distribution/${unknown}/json`)).status).toBe(404);
  });

  test('tells clients of API 1.47 of its manifests, and older ones nothing', async () => {
    interface Listed {
      readonly Manifests?: { readonly Available: boolean; readonly Kind: string }[];
    }
    const list = (version: string): Promise<Listed[]> => daemon().api.expect('GET', `/v${version}/images/json?manifests=1`);
    expect((await list('1.47'))[0]?.Manifests?.map(({ Available, Kind }) => [Available, Kind])).toEqual([
      [true, 'image'],
      [true, 'image'],
      [false, 'image'],
    ]);
    expect((await list('1.46'))[0]?.Manifests).toBeUndefined();
    const both = await daemon().api.get(
      `/images/${name}/json?manifests=1&platform=${encodeURIComponent('{"os":"linux","architecture":"amd64"}')}`,
    );
    expect([both.status, both.text]).toEqual([400, expect.stringContaining('manifests and platform options cannot both be set')]);
  });
});

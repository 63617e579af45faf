import { afterAll, beforeAll, expect } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { sha256 } from '#oci/digest.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { makeImage } from '#test/helpers/make-image.ts';
import { needs } from '#test/helpers/needs.ts';
import { publishImage } from '#test/helpers/publish-image.ts';
import { cached } from '#test/helpers/paths.ts';
import { run } from '#test/helpers/run.ts';
import { type SmallRegistry, startSmallRegistry } from '#test/helpers/small-registry.ts';
import { linkedAsDocker } from './our-docker.ts';

const { describe, test } = needs('buildx');

interface Client {
  readonly config: string;
  run(...words: string[]): Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }>;
}

/** No daemon is asked: both command lines talk to the registry. */
describe('docker manifest, beside the stock command line', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  let registry: SmallRegistry;
  let [ours, stock]: Client[] = [];

  beforeAll(async () => {
    folder = await tempFolder();
    registry = startSmallRegistry();
    for (const architecture of ['amd64', 'arm64']) {
      publishImage(registry, 'team/app', architecture, makeImage([architecture], { compress: true, architecture }));
    }
    publishImage(registry, 'other/app', '1', makeImage(['other'], { compress: true, architecture: 's390x' }));
    const client = (name: string, command: readonly string[]): Client => {
      const config = `${folder.path}/${name}`;
      // Nobody is there: whoever asks a daemon fails.
      const env = { DOCKER_CONFIG: config, HOME: folder.path, DOCKER_HOST: 'unix:///nowhere.sock' };
      return { config, run: async (...words) => await run([...command, 'manifest', ...words], { env }) };
    };
    ours = client('ours', await linkedAsDocker(folder.path));
    stock = client('stock', [cached('buildx/usr/bin/docker')]);
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  const name = (rest: string): string => `${registry.address}/${rest}`;
  /** Runs the same words with both and expects the same of both. */
  const both = async (...words: string[]): Promise<string> => {
    const theirs = await stock?.run(...words);
    const own = await ours?.run(...words);
    expect(own).toEqual(theirs as NonNullable<typeof theirs>);
    return own?.stdout ?? '';
  };

  test('a list is put together, annotated, looked at, pushed and forgotten', async () => {
    const list = name('team/app:all');
    await both('create', '--insecure', list, name('team/app:amd64'), name('team/app:arm64'));
    await both('create', '--insecure', list, name('team/app:amd64'));
    await both('create', '--insecure', '--amend', list, name('other/app:1'));
    await both('annotate', list, name('team/app:arm64'), '--variant', 'v8', '--os-version', '7', '--os-features', 'a,b');
    await both('annotate', list, name('team/app:arm64'), '--os', 'linux', '--arch', 'toaster');
    await both('annotate', list, name('team/app:none'), '--arch', 'arm64');
    expect(JSON.parse(await both('inspect', list))).toMatchObject({ schemaVersion: 2, manifests: [{}, {}, {}] });
    await both('inspect', '--verbose', list);
    await both('inspect', list, name('team/app:arm64'));
    await both('inspect', '-v', list, name('team/app:arm64'));
    await both('inspect', list, name('team/app:none'));
    const files = (client?: Client): string[] =>
      readdirSync(`${client?.config ?? ''}/manifests`, { recursive: true })
        .map(String)
        .toSorted();
    expect(files(ours)).toEqual(files(stock));
    // Each reads what the other wrote.
    for (const file of files(ours).filter(one => one.includes('/'))) {
      const read = (client?: Client): unknown => JSON.parse(readFileSync(`${client?.config ?? ''}/manifests/${file}`, 'utf8'));
      expect(read(ours)).toEqual(read(stock));
    }
    await stock?.run('push', '--insecure', list);
    const pushed = registry.manifests.get('team/app:all');
    registry.manifests.delete('team/app:all');
    const { stdout } = (await ours?.run('push', '--insecure', '--purge', list)) ?? { stdout: '' };
    expect(registry.manifests.get('team/app:all')).toEqual(pushed as NonNullable<typeof pushed>);
    expect(stdout).toContain(sha256(pushed?.bytes ?? ''));
    await stock?.run('push', '--insecure', '--purge', list);
    await both('inspect', '--insecure', list);
    await both('inspect', '--insecure', '-v', list);
    await both('push', '--insecure', list);
    await both('rm', list);
  });

  test('what registries have is shown, and what is wrong is said', async () => {
    await both('inspect', '--insecure', name('team/app:amd64'));
    await both('inspect', '--insecure', '-v', name('team/app:amd64'));
    const absent = (await ours?.run('inspect', '--insecure', name('team/app:none'))) ?? { exitCode: 0, stderr: '' };
    expect([absent.exitCode, absent.stderr.trim()]).toEqual([1, `no such manifest: ${name('team/app:none')}`]);
    const elsewhere = `127.0.0.2:${String(registry.port)}/x:1`;
    await ours?.run('create', '--insecure', elsewhere, name('team/app:amd64'));
    const refused = await ours?.run('push', '--insecure', elsewhere);
    expect(refused?.stderr).toContain(
      `cannot use source images from a different registry than the target image: ${registry.address} != 127.0.0.2`,
    );
  });
});

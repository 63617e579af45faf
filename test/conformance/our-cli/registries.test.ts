import { afterAll, beforeAll, expect } from 'bun:test';
import { type BerthRegistry, startBerthRegistry } from '#test/helpers/berth-registry.ts';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { dockerCommand } from '#test/helpers/docker-cli.ts';
import { makeImage } from '#test/helpers/make-image.ts';
import { needs } from '#test/helpers/needs.ts';
import { publishIndex } from '#test/helpers/publish-image.ts';
import { run } from '#test/helpers/run.ts';
import { type SmallRegistry, startSmallRegistry } from '#test/helpers/small-registry.ts';
import { linkedAsDocker } from './our-docker.ts';

const { describe, test } = needs('root', 'conmon', 'nft');
const none = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

/** What people do with registries, one after the other; `%g` is a repository where `ann` may write and everybody may read. */
const tour: readonly string[] = [
  ...['tag busybox %g:1', 'push %g:1', 'login -u ann -p wrong %h', 'login -u ann -p secret %h', 'push %g:1', 'push %g', 'push -q %g:1'],
  ...['push -a %g', 'push -aq %g', 'push -a %g:1', 'push %g-none', 'push UPPER', `push %g@${none}`, 'images --digests %g'],
  ...['pull %g:1', 'rmi %g:1', 'pull %g:1', 'pull -q %g:1', 'pull %g', 'pull -a %g', 'pull -aq %g', 'pull -a %g:1', 'pull UPPER'],
  ...['pull %g:none', 'pull --platform nonsense/x/y/z %g:1', `pull %g@${none}`],
  ...['search %g', 'search --no-trunc --limit 1 %g', 'search --format {{.Name}}|{{.StarCount}} %g', 'search -f stars=3 %g', 'search'],
  ...['search -f x=y %g', 'search --limit 101 %g', 'search --format json %g', 'search -f is-official=false %g'],
  ...['manifest inspect --insecure %g:1', 'manifest inspect --insecure %g:none', 'logout %h', 'push %g:1', 'system df', 'system df -v'],
  ...['image inspect --format {{len.RepoDigests}} %g:1', 'rmi %g:1', 'login -p x --password-stdin %h', `tag busybox %g@${none}`],
  ...['tag busybox %g@sha256:x', 'save -o /no/such/place busybox', 'system df -v --format json', 'system df -v --format {{.Images|json}}'],
  ...['system df -v --format {{range.Images}}{{.ID}}|{{.Repository}}|{{.Size}}|{{.UniqueSize}}|{{.Containers}}{{end}}'],
  ...['system df -v --format {{range.Containers}}{{.ID}}|{{.Size}}|{{.LocalVolumes}}|{{.Names}}{{end}}'],
  ...['system df -v --format {{range.Volumes}}{{.Name}}|{{.Links}}|{{.Size}}{{end}}', 'images -f reference=nosuch busybox'],
  ...['pull -q %s/app:1', 'pull -q --platform linux/s390x %s/app:1', 'images --tree -q'],
  ...['image inspect --platform linux/s390x --format {{.Architecture}} %s/app:1', 'history --platform linux/s390x %s/app:1'],
  ...[
    'image inspect --platform linux/arm %s/app:1',
    'save --platform linux/arm -o %f/none.tar %s/app:1',
    'rmi --platform linux/s390x %s/app:1',
  ],
  ...['push --platform linux/arm %s/app:1', 'rmi %s/app:1', 'rmi --platform linux/amd64 %s/app:1'],
];

describe('both command lines, with registries', () => {
  const daemon = sharedDaemon();
  let registry: BerthRegistry;
  let small: SmallRegistry;
  beforeAll(async () => {
    const hash = (await Bun.password.hash('secret', { algorithm: 'bcrypt', cost: 4 })).replace('$2b$', '$2y$');
    registry = await startBerthRegistry({
      files: { users: `ann:${hash}\n` },
      config: folder => ({ auth: { htpasswd: { path: `${folder}/users` }, anonymous: 'pull' } }),
    });
    await daemon().dockerOk('create', '--name', 'c1', '-v', 'vol:/data', 'busybox', 'true');
    small = startSmallRegistry();
    const image = (architecture: string) => ({ image: makeImage([architecture], { compress: true, architecture }) });
    publishIndex(small, 'app', '1', { amd64: image('amd64'), arm64: image('arm64'), s390x: image('s390x') });
  });
  afterAll(async () => {
    await registry[Symbol.asyncDispose]();
    await small[Symbol.asyncDispose]();
  });

  test('say the same', async () => {
    await using folder = await tempFolder();
    const [theirs, ours] = [new Map<string, object>(), new Map<string, object>()];
    for (const [command, said] of [
      [dockerCommand(), theirs],
      [await linkedAsDocker(folder.path), ours],
    ] as const) {
      const place = `${folder.path}/${said === theirs ? 'theirs' : 'ours'}`;
      const repository = `${registry.address}/${said === theirs ? 'aaaa' : 'bbbb'}`;
      const names = { g: repository, h: registry.address, s: small.address, f: place };
      for (const line of tour) {
        const words = line.split(' ').map(word => word.replace(/%([ghsf])/, (_all, key: keyof typeof names) => names[key]));
        const env = { DOCKER_HOST: daemon().host, DOCKER_CONFIG: place, HOME: place, DOCKER_CLI_EXPERIMENTAL: 'enabled' };
        const { exitCode, stdout, stderr } = await run([...command, ...words], { env });
        const steady = (text: string): string =>
          text
            .replaceAll(place, '%f')
            .replaceAll(/\b(?:aaaa|bbbb)\b/g, 'name')
            .replaceAll(/(?:About an? \w+|Less than a second|\d+ \w+)(?= ago)/g, '<time>')
            // How wide a column is depends on the time.
            .replaceAll(/ {2,}/g, '  ');
        said.set(line, { exitCode, stdout: steady(stdout), stderr: steady(stderr) });
      }
    }
    for (const line of tour) expect({ line, ...ours.get(line) }).toEqual({ line, ...theirs.get(line) });
  }, 120_000);
});

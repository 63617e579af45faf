import { afterAll, beforeAll, expect } from 'bun:test';
import { sha256 } from '#oci/digest.ts';
import { Buildx } from '#test/helpers/buildx.ts';
import { makeImage } from '#test/helpers/make-image.ts';
import { needs } from '#test/helpers/needs.ts';
import { berthCommand } from '#test/helpers/paths.ts';
import { publishImage } from '#test/helpers/publish-image.ts';
import { run } from '#test/helpers/run.ts';
import { type SmallRegistry, startSmallRegistry } from '#test/helpers/small-registry.ts';

const { describe, test } = needs('buildx');
const manifestType = 'application/vnd.oci.image.manifest.v1+json';

describe('docker buildx imagetools, beside the stock plugin', () => {
  let registry: SmallRegistry;
  let stock: Buildx;
  beforeAll(() => {
    registry = startSmallRegistry();
    stock = new Buildx('unix:///nowhere.sock');
    for (const architecture of ['amd64', 'arm64']) {
      publishImage(registry, 'team/app', architecture, makeImage([architecture], { compress: true, architecture }));
    }
    publishIndex();
  });
  afterAll(async () => {
    stock[Symbol.dispose]();
    await registry[Symbol.asyncDispose]();
  });

  const put = (repository: string, tag: string, value: object, mediaType: string): { digest: string; size: number } => {
    const bytes = new TextEncoder().encode(JSON.stringify(value));
    for (const key of [`${repository}:${tag}`, `${repository}@${sha256(bytes)}`]) registry.manifests.set(key, { bytes, mediaType });
    return { digest: sha256(bytes), size: bytes.length };
  };
  const blob = (value: object, mediaType: string): object => {
    const bytes = new TextEncoder().encode(JSON.stringify(value));
    registry.blobs.set(sha256(bytes), bytes);
    return { mediaType, digest: sha256(bytes), size: bytes.length };
  };
  /** `team/app:all`: two platforms, one of which is attested how it was made. */
  function publishIndex(): void {
    const entry = (architecture: string): object => {
      const bytes = registry.manifests.get(`team/app:${architecture}`)?.bytes ?? new Uint8Array();
      return { mediaType: manifestType, digest: sha256(bytes), size: bytes.length, platform: { architecture, os: 'linux' } };
    };
    const statement = {
      _type: 'https://in-toto.io/Statement/v0.1',
      predicateType: 'https://slsa.dev/provenance/v0.2',
      subject: [],
      predicate: { buildType: 'by hand' },
    };
    const attestation = {
      ...{ schemaVersion: 2, mediaType: manifestType },
      config: blob(
        { architecture: 'unknown', os: 'unknown', rootfs: { type: 'layers', diff_ids: [] } },
        'application/vnd.oci.image.config.v1+json',
      ),
      layers: [
        {
          ...blob(statement, 'application/vnd.in-toto+json'),
          annotations: { 'in-toto.io/predicate-type': 'https://slsa.dev/provenance/v0.2' },
        },
      ],
    };
    const about = (entry('amd64') as { digest: string }).digest;
    const attested = {
      mediaType: manifestType,
      ...put('team/app', 'attested', attestation, manifestType),
      annotations: { 'vnd.docker.reference.digest': about, 'vnd.docker.reference.type': 'attestation-manifest' },
      platform: { architecture: 'unknown', os: 'unknown' },
    };
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    put('team/app', 'all', { schemaVersion: 2, mediaType, manifests: [entry('amd64'), entry('arm64'), attested] }, mediaType);
  }

  const name = (rest: string): string => `${registry.address}/${rest}`;
  const ours = async (...words: string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> =>
    await run([...berthCommand(), 'buildx', 'imagetools', ...words], { env: { ...stock.environment } });
  const theirs = async (...words: string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> =>
    await stock.run(['buildx', 'imagetools', ...words]);

  test.each([
    [['inspect', 'team/app:all']],
    [['inspect', 'team/app:amd64']],
    [['inspect', '--raw', 'team/app:all']],
    [['inspect', '--format', '{{.Name}} {{.Manifest.Digest}} {{.Manifest.MediaType}}', 'team/app:all']],
    [['inspect', '--format', '{{json .Manifest}}', 'team/app:all']],
    [['inspect', '--format', '{{json .Image}}', 'team/app:amd64']],
    [['inspect', '--format', '{{range .Manifest.Manifests}}{{.Platform.Architecture}} {{end}}', 'team/app:all']],
    [['create', '--dry-run', 'team/app:amd64']],
    [['create', '--dry-run', 'team/app:all']],
    [['create', '--dry-run', '--prefer-index=false', 'team/app:arm64']],
    [['create', '--dry-run', 'team/app:arm64', 'team/app:amd64']],
    [['create', '--dry-run', '--annotation', 'index:k=v', 'team/app:all']],
    [['create', '--dry-run', '--annotation', 'manifest-descriptor[linux/arm64]:k=v', 'team/app:arm64', 'team/app:amd64']],
  ])(
    '%p',
    async words => {
      const named = words.map(word => (word.startsWith('team/') ? name(word) : word));
      const [own, other] = [await ours(...named), await theirs(...named)];
      expect([own.exitCode, readable(own.stdout)]).toEqual([other.exitCode, readable(other.stdout)]);
    },
    30_000,
  );

  test('what is attested is shown', async () => {
    const { stdout } = await ours('inspect', '--format', '{{json .Provenance}}', name('team/app:all'));
    expect(JSON.parse(stdout)).toEqual({ 'linux/amd64': { SLSA: { buildType: 'by hand' } } });
  });

  test('what is made can be had under its name in another repository, with all that belongs to it', async () => {
    const index = registry.manifests.get('team/app:all')?.bytes ?? new Uint8Array();
    const made = await ours('create', '-t', name('copy/app:1'), '-t', name('copy/app:2'), name('team/app:all'));
    expect(made.exitCode).toBe(0);
    expect(sha256(registry.manifests.get('copy/app:1')?.bytes ?? '')).toBe(sha256(index));
    expect(registry.manifests.has('copy/app:2')).toBe(true);
    for (const architecture of ['amd64', 'arm64']) {
      const { bytes } = registry.manifests.get(`team/app:${architecture}`) ?? { bytes: new Uint8Array() };
      expect(registry.manifests.has(`copy/app@${sha256(bytes)}`)).toBe(true);
    }
    const { exitCode } = await ours('create', '--append', '-t', name('grown/app:1'), name('team/app:amd64'));
    expect(exitCode).toBe(0);
    await ours('create', '--append', '-t', name('grown/app:1'), name('team/app:arm64'));
    const { manifests } = JSON.parse(new TextDecoder().decode(registry.manifests.get('grown/app:1')?.bytes)) as { manifests: object[] };
    expect(manifests.length).toBe(2);
  });

  test('one platform of several, with what is attested of it', async () => {
    const { stdout } = await ours('create', '--dry-run', '--platform', 'linux/amd64', name('team/app:all'));
    const { manifests } = JSON.parse(stdout) as { manifests: { platform: { architecture: string } }[] };
    expect(manifests.map(({ platform }) => platform.architecture)).toEqual(['amd64', 'unknown']);
  });

  test.each([
    [['create', '-t', 'x:1'], 'no sources specified'],
    [['create', 'team/app:amd64'], "can't push with no tags specified, please set --tag or --dry-run"],
    [['inspect', '--raw', '--format', 'x', 'team/app:amd64'], 'format and raw cannot be used together'],
    [['inspect', 'team/app:none'], 'manifest unknown'],
  ])('%p is refused', async (words, reason) => {
    const { exitCode, stderr } = await ours(...words.map(word => (word.startsWith('team/') ? name(word) : word)));
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining(reason)]);
  });
});

/** JSON without regard to how it is indented. */
function readable(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text.replace(/[ \t]+$/gm, '');
  }
}

import { afterAll, beforeAll, expect } from 'bun:test';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Buildx } from '#test/helpers/buildx.ts';
import { runToEnd, sharedDaemon } from '#test/helpers/containers.ts';
import { needs } from '#test/helpers/needs.ts';
import { startRegistry } from '#test/helpers/registry.ts';
import { runOk } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'buildx', 'docker-registry', 'skopeo');

const lines = (...text: string[]): string => `${text.join('\n')}\n`;

interface Index {
  readonly manifests: readonly {
    readonly digest: string;
    readonly platform?: { readonly os: string; readonly architecture: string };
    readonly annotations?: Readonly<Record<string, string>>;
  }[];
}

describe('what docker buildx makes of a build', () => {
  const daemon = sharedDaemon({ args: ['--insecure-registry', '127.0.0.0/8'] });
  let buildx: Buildx;
  let context = '';
  beforeAll(() => {
    buildx = new Buildx(daemon().host);
    context = buildx.directory({
      Dockerfile: lines(
        'FROM busybox AS made',
        'RUN mkdir -p /out/sub && echo hi > /out/sub/f && chmod 4755 /out/sub/f && ln /out/sub/f /out/g && ln -s g /out/l',
        'FROM scratch',
        'COPY --from=made /out /',
      ),
      'any/Dockerfile': lines('FROM scratch', 'ARG TARGETARCH', 'COPY $TARGETARCH /arch', 'LABEL arch=$TARGETARCH'),
      'any/amd64': 'amd64',
      'any/arm64': 'arm64',
    });
  });
  afterAll(() => buildx[Symbol.dispose]());

  test('files in a directory, and in an archive', async () => {
    const out = join(context, 'files');
    await buildx.ok(['buildx', 'build', '--output', out, context]);
    expect(readdirSync(out).sort()).toEqual(['g', 'l', 'sub']);
    expect(readFileSync(join(out, 'sub/f'), 'utf8')).toBe('hi\n');
    const [file, other] = [lstatSync(join(out, 'sub/f')), lstatSync(join(out, 'g'))];
    expect([(file.mode & 0o7777).toString(8), file.ino, readlinkSync(join(out, 'l'))]).toEqual(['4755', other.ino, 'g']);
    const archive = join(context, 'files.tar');
    await buildx.ok(['buildx', 'build', '--output', `type=tar,dest=${archive}`, context]);
    expect((await runOk(['tar', 'tf', archive])).trim().split('\n').sort()).toEqual(['g', 'l', 'sub/', 'sub/f']);
  });

  test('an archive that docker load takes, and an OCI layout with one image or one for each platform', async () => {
    const plain = buildx.directory({ Dockerfile: lines('FROM busybox', 'RUN echo loaded > /text', 'CMD ["cat", "/text"]') });
    const archive = join(plain, 'docker.tar');
    await buildx.ok(['buildx', 'build', '--output', `type=docker,dest=${archive}`, '-t', 'archived:1', plain]);
    await buildx.ok(['load', '-i', archive]);
    expect((await runToEnd(daemon(), { Image: 'archived:1', Cmd: ['cat', '/text'] })).stdout).toBe('loaded\n');
    const layout = join(context, 'oci.tar');
    const annotated = ['--annotation', 'index:one=1', '--annotation', 'manifest[linux/arm64]:two=2'];
    const platforms = ['--platform', 'linux/amd64,linux/arm64'];
    await buildx.ok([
      'buildx',
      'build',
      ...platforms,
      ...annotated,
      '--provenance=false',
      '-o',
      `type=oci,dest=${layout}`,
      join(context, 'any'),
    ]);
    for (const arch of ['amd64', 'arm64']) {
      const inspected = await runOk(['skopeo', '--override-arch', arch, 'inspect', '--config', `oci-archive:${layout}`]);
      expect(JSON.parse(inspected)).toMatchObject({ architecture: arch, config: { Labels: { arch } } });
    }
    const raw = JSON.parse(await runOk(['skopeo', 'inspect', '--raw', `oci-archive:${layout}`])) as Index & { annotations: object };
    expect(raw.annotations).toEqual({ one: '1' });
    expect(raw.manifests.map(({ platform }) => platform)).toEqual([
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm64' },
    ]);
  });

  test('images in a registry: one, or an index of several platforms', async () => {
    await using registry = await startRegistry();
    const one = `${registry.address}/team/one:1`;
    await buildx.ok(['buildx', 'build', '--push', '--provenance=false', '-t', one, join(context, 'any')]);
    const inspected = await runOk(['skopeo', 'inspect', '--tls-verify=false', '--raw', `docker://${one}`]);
    expect(JSON.parse(inspected)).toMatchObject({ schemaVersion: 2, layers: [{}] });
    const several = `${registry.address}/team/several:1`;
    const platforms = ['--platform', 'linux/amd64,linux/arm64'];
    await buildx.ok(['buildx', 'build', '--push', '--provenance=false', ...platforms, '-t', several, join(context, 'any')]);
    await daemon().api.expect('POST', `/images/create?fromImage=${registry.address}/team/several&tag=1`);
    const image = await daemon().api.expect<{ Architecture: string }>('GET', `/images/${several}/json`);
    expect(image.Architecture).toBe(process.arch === 'x64' ? 'amd64' : 'arm64');
    const before = await runOk(['skopeo', 'inspect', '--tls-verify=false', '--raw', `docker://${several}`]);
    // What is kept here is pushed as a whole as well.
    await buildx.ok(['buildx', 'build', '--provenance=false', ...platforms, '-t', several, '--label', 'more=1', join(context, 'any')]);
    await buildx.ok(['push', several]);
    const after = await runOk(['skopeo', 'inspect', '--tls-verify=false', '--raw', `docker://${several}`]);
    const platformsOf = (raw: string) => (JSON.parse(raw) as Index).manifests.map(({ platform }) => platform);
    expect([platformsOf(after), after === before]).toEqual([platformsOf(before), false]);
  });

  test('what is said of an image: how it was made, and which packages it has', async () => {
    const status = lines(
      'Package: base-files',
      'Status: install ok installed',
      'Version: 12.4',
      'Architecture: amd64',
      'Maintainer: Somebody',
    );
    const folder = buildx.directory({
      Dockerfile: lines('FROM busybox', 'ARG TOKEN', 'COPY status /var/lib/dpkg/status', 'COPY os-release /etc/os-release'),
      status,
      'os-release': 'ID=debian\n',
    });
    const layout = join(folder, 'layout.tar');
    const attest = ['--attest', 'type=provenance,mode=max', '--attest', 'type=sbom', '--build-arg', 'TOKEN=told-in-max'];
    await buildx.ok(['buildx', 'build', ...attest, '-o', `type=oci,dest=${layout}`, folder]);
    const read = async (digest: string): Promise<string> => await runOk(['tar', 'xOf', layout, `blobs/sha256/${digest.slice(7)}`]);
    const outer = JSON.parse(await runOk(['tar', 'xOf', layout, 'index.json'])) as Index;
    const index = JSON.parse(await read(outer.manifests[0]?.digest ?? '')) as Index;
    const [image, statements] = index.manifests;
    expect(statements).toMatchObject({
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: { 'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': image?.digest },
    });
    const { layers } = JSON.parse(await read(statements?.digest ?? '')) as {
      layers: { digest: string; annotations: Record<string, string> }[];
    };
    const byType = new Map(
      await Promise.all(
        layers.map(async layer => [layer.annotations['in-toto.io/predicate-type'], JSON.parse(await read(layer.digest))] as const),
      ),
    );
    expect(byType.get('https://slsa.dev/provenance/v0.2')).toMatchObject({
      subject: [{ digest: { sha256: image?.digest.slice(7) } }],
      predicate: {
        materials: [{ uri: expect.stringMatching(/^pkg:docker\/busybox@latest/) as unknown }],
        invocation: { parameters: { frontend: 'dockerfile.v0', args: { 'build-arg:TOKEN': 'told-in-max' } } },
      },
    });
    expect(byType.get('https://spdx.dev/Document')).toMatchObject({
      predicate: { spdxVersion: 'SPDX-2.3', packages: [{ SPDXID: 'SPDXRef-image' }, { name: 'base-files', versionInfo: '12.4' }] },
    });
    // Unasked, only what everybody may know, and nothing beside files.
    const plain = join(folder, 'plain.tar');
    await buildx.ok(['buildx', 'build', '--build-arg', 'TOKEN=not-told', '-o', `type=oci,dest=${plain}`, folder]);
    expect((await runOk(['tar', 'xOf', plain])).includes('"build-arg:TOKEN"')).toBe(false);
    const files = join(folder, 'out');
    await buildx.ok(['buildx', 'build', '--sbom=true', '-o', files, folder]);
    expect(readdirSync(files)).toContain('sbom.spdx.json');
    expect(readdirSync(files)).not.toContain('provenance.json');
  });

  test('results of steps in a registry, a directory or the image itself, for machines that have not done them', async () => {
    await using registry = await startRegistry();
    const folder = buildx.directory({
      Dockerfile: lines(
        'FROM busybox AS made',
        'RUN echo made > /made; date >> /made',
        'FROM busybox',
        'COPY --from=made /made /',
        'RUN cat /made > /copy',
      ),
    });
    const image = `${registry.address}/team/app:1`;
    const places = {
      registry: {
        to: `type=registry,ref=${registry.address}/team/cache,mode=max`,
        from: `type=registry,ref=${registry.address}/team/cache`,
      },
      local: { to: `type=local,dest=${join(folder, 'cache')},mode=max`, from: `type=local,src=${join(folder, 'cache')}` },
      inline: { to: 'type=inline', from: `type=registry,ref=${image}` },
    };
    const read = async (): Promise<string> => (await runToEnd(daemon(), { Image: image, Cmd: ['cat', '/copy'] })).stdout;
    for (const [name, { to, from }] of Object.entries(places)) {
      await buildx.ok(['buildx', 'build', '--no-cache', '--push', '-t', image, '--cache-to', to, folder]);
      const first = await read();
      await daemon().api.expect('DELETE', `/images/${image}?force=1`);
      await buildx.ok(['buildx', 'prune', '--all', '--force']);
      const { stderr } = await buildx.ok(['buildx', 'build', '-t', image, '--cache-from', from, folder]);
      expect([name, await read()]).toEqual([name, first]);
      expect([name, stderr.match(/RUN cat \/made > \/copy\n#\d+ CACHED/) !== null]).toEqual([name, true]);
    }
    const nothing = await buildx.ok(['buildx', 'build', '--cache-from', `type=registry,ref=${registry.address}/team/none`, folder]);
    expect(nothing.stderr).toContain('importing cache manifest from');
  });

  test('an OCI layout as a directory, and another build from it', async () => {
    const layout = join(context, 'layout');
    await buildx.ok([
      'buildx',
      'build',
      '--provenance=false',
      '-t',
      'laid:1',
      '-o',
      `type=oci,dest=${layout},tar=false`,
      join(context, 'any'),
    ]);
    expect(JSON.parse(await runOk(['skopeo', 'inspect', '--config', `oci:${layout}:1`]))).toMatchObject({ config: { Labels: {} } });
    const folder = buildx.directory({ Dockerfile: lines('FROM laid', 'COPY --from=laid /arch /again') });
    await buildx.ok(['buildx', 'build', '--build-context', `laid=oci-layout://${layout}:1`, '-o', join(folder, 'out'), folder]);
    expect(readdirSync(join(folder, 'out')).sort()).toEqual(['again', 'arch']);
  });
});

import { expect } from 'bun:test';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { $ } from 'bun';
import { build, buildOk, contextTar } from '#test/helpers/build.ts';
import { runToEnd, sharedDaemon } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { processesNaming } from '#test/helpers/machine.ts';
import { needs } from '#test/helpers/needs.ts';
import { freePort } from '#test/helpers/registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

/** A server on the loopback address with these answers by path. */
function serve(answers: Readonly<Record<string, () => Response>>): Disposable & { readonly url: string } {
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: request => answers[new URL(request.url).pathname]?.() ?? new Response('no', { status: 404 }),
  });
  return { url: `http://127.0.0.1:${String(server.port)}`, [Symbol.dispose]: () => void server.stop(true) };
}

describe('things from elsewhere', () => {
  const daemon = sharedDaemon();
  const outputOf = async (Image: string, script: string): Promise<string> =>
    (await runToEnd(daemon(), { Image, Cmd: ['sh', '-c', script] })).stdout;

  test('ADD of a URL: mode 600, time of the answer, checksum, unpacked on request', async () => {
    const archive = new Uint8Array(await contextTar({ inside: 'from an archive' }));
    using server = serve({
      '/file.txt': () => new Response('downloaded', { headers: { 'Last-Modified': 'Fri, 14 Jul 2017 02:40:00 GMT' } }),
      '/archive.tar': () => new Response(archive),
    });
    const sum = new Bun.CryptoHasher('sha256').update('downloaded').digest('hex');
    const image = await buildOk(daemon().api, {
      Dockerfile: [
        'FROM busybox',
        `ADD --checksum=sha256:${sum} ${server.url}/file.txt /dir/`,
        `ADD ${server.url}/archive.tar /packed/`,
        `ADD --unpack=true ${server.url}/archive.tar /unpacked/`,
      ].join('\n'),
    });
    const seen = await outputOf(image, 'stat -c "%a %Y" /dir/file.txt; cat /dir/file.txt; ls /packed; cat /unpacked/inside');
    expect(seen).toBe('600 1500000000\ndownloadedarchive.tar\nfrom an archive');
    const wrong = await build(daemon().api, {
      Dockerfile: `FROM busybox\nADD --checksum=sha256:${'0'.repeat(64)} ${server.url}/file.txt /`,
    });
    expect(wrong.error).toContain('digest mismatch');
    const missing = await build(daemon().api, { Dockerfile: `FROM busybox\nADD ${server.url}/none /` });
    expect(missing.error).toContain('invalid response status 404');
  });

  test('a context from a URL: an archive, or a Dockerfile alone', async () => {
    const archive = Bun.gzipSync(new Uint8Array(await contextTar({ 'other.file': 'FROM busybox\nCOPY a /a\n', a: 'remote context' })));
    using server = serve({
      '/context.tgz': () => new Response(archive, { headers: { 'Content-Type': 'application/gzip' } }),
      '/Dockerfile': () =>
        new Response('FROM busybox\nRUN echo alone > /a\n', { headers: { 'Content-Type': 'text/plain; charset=utf-8' } }),
    });
    const fromArchive = await buildOk(daemon().api, {}, { remote: `${server.url}/context.tgz`, dockerfile: 'other.file' });
    expect(await outputOf(fromArchive, 'cat /a')).toBe('remote context');
    const alone = await buildOk(daemon().api, {}, { remote: `${server.url}/Dockerfile` });
    expect(await outputOf(alone, 'cat /a')).toBe('alone\n');
  });

  test.skipIf(Bun.which('git') === null)('Git: a branch, a directory of it, and no more than that', async () => {
    const folder = await mkdtemp('/tmp/berth-g-');
    try {
      const work = join(folder, 'work');
      const env = { ...process.env, HOME: folder, GIT_CONFIG_NOSYSTEM: '1' };
      const git = async (...args: string[]): Promise<void> =>
        void (await $`git -C ${work} -c user.name=a -c user.email=a@b ${args}`.env(env).quiet());
      await $`git init -q -b main ${work}`.env(env).quiet();
      await Bun.write(join(work, 'Dockerfile'), 'FROM busybox\nCOPY . /all\n');
      await Bun.write(join(work, 'sub/Dockerfile'), 'FROM busybox\nCOPY . /sub\n');
      await git('add', '.');
      await git('commit', '-qm', 'first');
      await git('checkout', '-qb', 'other');
      await Bun.write(join(work, 'sub/more'), 'on the branch');
      await git('add', '.');
      await git('commit', '-qm', 'second');
      await git('checkout', '-q', 'main');
      await $`git clone -q --bare ${work} ${join(folder, 'repo.git')}`.env(env).quiet();
      const port = await freePort();
      const server = Bun.spawn(['git', 'daemon', '--listen=127.0.0.1', `--port=${String(port)}`, `--base-path=${folder}`, '--export-all'], {
        stdio: ['ignore', 'ignore', 'ignore'],
        env,
      });
      try {
        const url = `git://127.0.0.1:${String(port)}/repo.git`;
        await eventually('the Git server answers', async () => (await $`git ls-remote ${url}`.env(env).quiet().nothrow()).exitCode === 0);
        const branch = await buildOk(daemon().api, {}, { remote: `${url}#other:sub` });
        expect(await outputOf(branch, 'ls -A /sub; cat /sub/more')).toBe('Dockerfile\nmore\non the branch');
        const whole = await buildOk(daemon().api, {}, { remote: url });
        expect(await outputOf(whole, 'cd /all; find . -type f | sort')).toBe('./Dockerfile\n./sub/Dockerfile\n');
        const added = await buildOk(daemon().api, { Dockerfile: `FROM busybox\nADD --keep-git-dir=true ${url}#other /src\n` });
        expect(await outputOf(added, 'test -d /src/.git && ls /src/sub')).toBe('Dockerfile\nmore\n');
        const none = await build(daemon().api, {}, { remote: `${url}#nothing` });
        expect(none.error).toContain("couldn't find remote ref nothing");
      } finally {
        server.kill();
        await server.exited;
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  test('POST /build/cancel stops a build by the id its client gave', async () => {
    const building = build(daemon().api, { Dockerfile: 'FROM busybox\nRUN echo begun; sleep 76543\n' }, { buildid: 'mine' });
    await eventually('the step runs', () => processesNaming('sleep 76543').length > 0);
    expect((await daemon().api.post('/build/cancel?id=mine')).status).toBe(200);
    expect((await building).error).toContain('canceled');
    await eventually('the step has ended', () => processesNaming('sleep 76543').length === 0);
    expect((await daemon().api.post('/build/cancel?id=nobody')).status).toBe(200);
  });
});

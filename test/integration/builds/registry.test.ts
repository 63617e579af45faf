import { expect } from 'bun:test';
import { build, buildOk } from '#test/helpers/build.ts';
import { runToEnd, sharedDaemon } from '#test/helpers/containers.ts';
import { needs } from '#test/helpers/needs.ts';
import { startRegistry } from '#test/helpers/registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'docker-registry');

describe('base images of a registry', () => {
  const daemon = sharedDaemon({ args: ['--insecure-registry', '127.0.0.0/8'] });

  test('are pulled when they are not here, and brought up to date on request; what was built can be pushed', async () => {
    await using registry = await startRegistry();
    const name = `${registry.address}/team/base`;
    const publish = async (text: string): Promise<void> => {
      await buildOk(daemon().api, { Dockerfile: `FROM busybox\nRUN echo ${text} > /version\n` }, { t: `${name}:1` });
      const pushed = await daemon().api.call('POST', `/images/${name}/push?tag=1`, { headers: { 'X-Registry-Auth': 'e30=' } });
      expect(pushed.text).not.toContain('errorDetail');
    };
    const version = async (image: string): Promise<string> => (await runToEnd(daemon(), { Image: image, Cmd: ['cat', '/version'] })).stdout;
    await publish('one');
    await daemon().api.expect('DELETE', `/images/${name}:1?force=1`);
    const context = { Dockerfile: `FROM ${name}:1\nCOPY Dockerfile /\n` };
    const first = await build(daemon().api, context, { t: 'app:1' });
    expect([first.error, await version('app:1')]).toEqual([undefined, 'one\n']);

    // Somebody else publishes a newer one: here the old one keeps the name.
    const old = await daemon().api.expect<{ Id: string }>('GET', `/images/${name}:1/json`);
    await publish('two');
    await daemon().api.expect('POST', `/images/${old.Id}/tag?repo=${name}&tag=1`);
    await buildOk(daemon().api, context, { t: 'app:2' });
    expect(await version('app:2')).toBe('one\n');
    await buildOk(daemon().api, context, { t: 'app:3', pull: '1' });
    expect(await version('app:3')).toBe('two\n');

    const missing = await build(daemon().api, { Dockerfile: `FROM ${registry.address}/team/none\n` });
    expect([missing.status, missing.error]).toEqual([200, expect.stringContaining('not found') as unknown as string]);
  });
});

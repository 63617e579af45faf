import { afterAll, beforeAll, expect } from 'bun:test';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { type BerthRegistry, startBerthRegistry } from '#test/helpers/berth-registry.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

describe('docker search at a registry of our own', () => {
  const daemon = sharedDaemon();
  let registry: BerthRegistry;
  beforeAll(async () => {
    registry = await startBerthRegistry({
      files: { passwords: `ann:${await Bun.password.hash('geheim', { algorithm: 'bcrypt', cost: 4 })}\n` },
      config: folder => ({ auth: { htpasswd: { realm: 'here', path: `${folder}/passwords` } } }),
    });
    const auth = Buffer.from(JSON.stringify({ username: 'ann', password: 'geheim', serveraddress: registry.address })).toString('base64');
    for (const name of ['tools/sieve', 'sieve', 'other']) {
      await daemon().api.expect('POST', `/images/busybox/tag?repo=${registry.address}/${name}&tag=1`);
      const said = await daemon().api.call('POST', `/images/${registry.address}/${name}/push?tag=1`, {
        headers: { 'X-Registry-Auth': auth },
      });
      if (said.text.includes('errorDetail')) throw new Error(said.text);
    }
  }, 60_000);
  afterAll(() => registry?.[Symbol.asyncDispose]());

  /** A configuration directory with the credentials in it. */
  const config = async (): Promise<{ DOCKER_CONFIG: string }> => {
    const auths = { [registry.address]: { auth: Buffer.from('ann:geheim').toString('base64') } };
    await Bun.write(`${registry.folder}/client/config.json`, JSON.stringify({ auths }));
    return { DOCKER_CONFIG: `${registry.folder}/client` };
  };

  test('finds names, for the stock command line and for ours', async () => {
    const env = await config();
    const args = ['search', '--format', '{{.Name}}', `${registry.address}/sieve`];
    const ours = await daemon().berth(args, { env });
    expect(ours.stdout.trim().split('\n')).toEqual(['sieve', 'tools/sieve']);
    const stock = await daemon().docker(args, { env });
    expect(stock.stdout).toBe(ours.stdout);
    const limited = await daemon().berth(['search', '--limit', '1', '--format', '{{.Name}}', `${registry.address}/sieve`], { env });
    expect(limited.stdout.trim()).toBe('sieve');
  });

  test('finds nothing that one may not see', async () => {
    const { exitCode, stdout } = await daemon().berth(['search', '--format', '{{.Name}}', `${registry.address}/sieve`]);
    expect([exitCode, stdout]).toEqual([0, '']);
  });
});

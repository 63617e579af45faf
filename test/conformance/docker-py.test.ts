import { expect } from 'bun:test';
import { join } from 'node:path';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { needs } from '#test/helpers/needs.ts';
import { run } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'python3');

describe('docker-py', () => {
  const daemon = sharedDaemon();

  test('runs its checks', async () => {
    const env = { DOCKER_HOST: daemon().host, PYTHONDONTWRITEBYTECODE: '1' };
    const { exitCode, stdout, stderr } = await run(['/usr/bin/python3', join(import.meta.dir, 'docker-py.py')], {
      env,
      timeoutMs: 110_000,
    });
    console.log(stdout + stderr);
    expect(exitCode).toBe(0);
    expect(stdout.match(/^ok /gm)?.length).toBeGreaterThan(18);
  });
});

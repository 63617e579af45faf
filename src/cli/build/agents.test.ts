import { expect, test } from 'bun:test';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openAgents } from './agents.ts';

const hasPrograms = ['ssh-agent', 'ssh-add', 'ssh-keygen'].every(name => Bun.which(name) !== null);

test.skipIf(!hasPrograms)('keys are in an agent of their own, which goes with the build', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'berth-keys-'));
  try {
    const key = join(folder, 'key');
    expect(Bun.spawnSync(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'the key', '-f', key]).exitCode).toBe(0);
    let socket = '';
    {
      await using agents = await openAgents([`default=${key}`]);
      socket = agents.socket('default') ?? '';
      const listed = Bun.spawnSync(['ssh-add', '-l'], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
      expect(listed.stdout.toString()).toContain('the key');
      expect(agents.socket('other')).toBeUndefined();
    }
    expect(statSync(socket, { throwIfNoEntry: false })).toBeUndefined();
    writeFileSync(join(folder, 'text'), 'no key');
    const failure = async (...given: string[]): Promise<string> => await openAgents(given).then(() => '', String);
    expect(await failure(`a=${folder}/text`)).toContain('failed to use the key');
    expect(await failure(`a=${folder}`)).toContain('it is a directory');
    expect(await failure('a=/no/such')).toContain('no such file or directory');
    expect(await failure(`a=${key}`, `a=${key}`)).toContain('invalid duplicate ID a');
    expect(await failure('a=')).toContain('invalid empty ssh agent socket');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

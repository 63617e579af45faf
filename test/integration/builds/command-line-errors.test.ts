import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { needs } from '#test/helpers/needs.ts';
import { berthCommand } from '#test/helpers/paths.ts';
import { run, type RunResult } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

/** A Dockerfile that is wrong, where (`line:column` or `line`), and what is said. */
const mistakes: readonly (readonly [dockerfile: string, place: string, words: string])[] = [
  ['FROM busybox\nCOPPY a b\n', '2:1', 'unknown instruction: COPPY (did you mean COPY?)'],
  ['RUN x\n', '1', 'no build stage in current context: only ARG may stand before the first FROM'],
  ['FROM busybox AS 1bad\n', '1:17', 'invalid name for build stage: "1bad"'],
  ['FROM busybox AS a\nCOPY --from=b f /\nFROM busybox AS b\nCOPY --from=a f /\n', '4', 'circular dependency detected on stage: a'],
  ['FROM busybox\nCOPY missing /\n', '2', '"/missing": not found'],
  ['FROM busybox\nRUN --mount=type=cache,targt=/x true\n', '2:5', "unexpected key 'targt' in 'targt=/x' (did you mean target?)"],
  ['FROM busybox\nRUN <<EOF\necho\n', '2', 'unterminated heredoc: no line says only "EOF"'],
  ['FROM busybox\nHEALTHCHECK --intervall=3s CMD x\n', '2:13', 'unknown flag: --intervall (did you mean interval?)'],
  ['FROM busybox\nEXPOSE abc\n', '2', 'invalid containerPort: abc (expected a number from 0 to 65535'],
  ['FROM busybox\nCOPY --chmod=999 f /\n', '2', "invalid chmod parameter: '999'. it should be octal string and between 0 and 07777"],
  ['FROM busybox\nCOPY --chown=nobody-here f /\n', '2', 'unable to find user nobody-here'],
  ['FROM busybox\nRUN --network=foo true\n', '2:5', 'invalid network mode "foo"'],
  ['FROM busybox\nRUN --security=insecure true\n', '2', 'security.insecure is not allowed'],
  ['FROM busybox\nRUN --network=host true\n', '2', 'network.host is not allowed'],
  ['FROM busybox\nADD --checksum=sha256:12 http://127.0.0.1:1/x /\n', '2', 'invalid checksum digest format: "sha256:12"'],
  ['FROM busybox\nRUN --mount=type=secret,id=s,required cat /run/secrets/s\n', '2', 'secret s: not found'],
  ['FROM busybox\nRUN --mount=type=ssh,required true\n', '2', 'unset ssh forward key default'],
  ['FROM busybox\nRUN echo said; exit 3\n', '2', 'did not complete successfully: exit code: 3'],
];

/** Flags that cannot be, and what is said. */
const flags: readonly (readonly [args: readonly string[], words: string])[] = [
  [['--target', 'nope'], 'target stage "nope" could not be found'],
  [['--platform', 'linux/?'], 'is an invalid component of "linux/?"'],
  [['--allow', 'all'], 'invalid entitlement: all'],
  [['--no-cache', '--no-cache-filter', 'x'], '--no-cache and --no-cache-filter cannot currently be used together'],
  [['-q', '--progress', 'plain'], 'progress=plain and quiet cannot be used together'],
  [['--progress', 'bar'], 'invalid progress mode "bar"'],
  [['--push'], 'tag is needed when pushing to registry'],
  [['-t', 'UPPER'], 'invalid tag "UPPER": repository name must be lowercase'],
  [['--sbom', 'generator=example.com/scanner'], 'the SBOM generator example.com/scanner is not run by this daemon'],
  [['--provenance', 'mode=most'], 'invalid provenance mode "most"'],
  [['--secret', 'src=x'], 'it needs an id'],
  [['--ulimit', 'nofile'], 'invalid ulimit argument: nofile'],
  [['--policy', 'x'], '--policy is not supported'],
  [['--squash', '--secret', 'id=HOME'], '--squash is for the classic builder only'],
];

describe('what is wrong with a build is said where it is', () => {
  const daemon = sharedDaemon();
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  beforeAll(async () => {
    folder = await tempFolder();
    mkdirSync(join(folder.path, 'context'));
    writeFileSync(join(folder.path, 'context/f'), 'f');
  });
  afterAll(async () => {
    await folder[Symbol.asyncDispose]();
  });

  const berth = async (args: readonly string[], stdin = 'FROM busybox\n', env: Record<string, string> = {}): Promise<RunResult> =>
    await run([...berthCommand(), ...args], {
      env: { DOCKER_HOST: `unix://${daemon().socketPath}`, DOCKER_CONFIG: folder.path, HOME: folder.path, ...env },
      cwd: join(folder.path, 'context'),
      stdin,
    });

  for (const [dockerfile, place, words] of mistakes) {
    test(JSON.stringify(dockerfile), async () => {
      const { exitCode, stderr } = await berth(['build', '-f', '-', '.'], dockerfile);
      expect([exitCode, stderr]).toEqual([1, expect.stringContaining(words)]);
      expect(stderr).toContain(`Dockerfile:${place}\n---`);
      expect(stderr).toContain('>>> ');
    });
  }

  for (const [args, words] of flags) {
    test(args.join(' '), async () => {
      const { exitCode, stderr } = await berth(['build', ...args, '-f', '-', '.']);
      expect([exitCode !== 0, stderr]).toEqual([true, expect.stringContaining(words)]);
    });
  }

  test('a failed step shows the end of what it said, and leaves nothing', async () => {
    const words = Array.from({ length: 30 }, (_, index) => `word ${String(index)}`).join('; echo ');
    const { stderr } = await berth(['build', '--progress', 'quiet', '-f', '-', '.'], `FROM busybox\nRUN echo ${words}; exit 9\n`);
    expect(stderr).toMatch(/^------\n > \[2\/2\] RUN /);
    expect([stderr.includes('word 29\n------'), /\d word 5\n/.test(stderr)]).toEqual([true, false]);
    const { json } = await daemon().api.get<unknown[]>('/containers/json?all=1');
    expect(json).toEqual([]);
  });

  test('the classic builder says which flags it does not know', async () => {
    const { exitCode, stderr } = await berth(['build', '--cache-to', 'type=inline', '-f', '-', '.'], undefined, { DOCKER_BUILDKIT: '0' });
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('--cache-to is not supported by the classic builder')]);
  });
});

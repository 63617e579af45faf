import { expect, test } from 'bun:test';
import { unmet } from './needs.ts';
import { run } from './run.ts';

const mark = 'BERTH_TEST_OWN_NETWORK';

/**
 * True inside a network namespace of the test's own. Outside it registers one test, which runs the file again in such a namespace: addresses, ports and
 * packet rules of the host are the whole machine's, and others run tests beside this one.
 */
export function inOwnNetwork(file: string): boolean {
  if (process.env[mark] !== undefined) return true;
  const reason = unmet('root', 'nft');
  if (reason !== undefined) console.log(`skipped here: ${reason}`);
  (reason === undefined ? test : test.skip)(
    'in a network namespace of its own',
    async () => {
      const command = [
        'unshare',
        '--net',
        'sh',
        '-c',
        'ip link set lo up; exec "$@"',
        'sh',
        process.execPath,
        'test',
        file,
        '--timeout',
        '60000',
      ];
      const { exitCode, stdout, stderr } = await run(command, { env: { [mark]: '1' }, timeoutMs: 170_000 });
      if (exitCode === 0) console.log(/^ *\d+ pass(\n *\d+ skip)?/m.exec(stderr)?.[0]);
      expect(exitCode, stdout + stderr).toBe(0);
    },
    180_000,
  );
  return false;
}

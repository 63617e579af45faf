import { expect, test } from 'bun:test';
import { unmet } from './needs.ts';
import { run } from './run.ts';

const mark = 'BERTH_TEST_OWN_NETWORK';

/**
 * True inside a network namespace of the test's own. Outside it registers one test, which runs the file again in such a namespace: addresses, ports and
 * packet rules of the host are the whole machine's, and others run tests beside this one. `programs`: a folder with unpacked packages; in there, in a
 * mount namespace of its own with an empty /run, they are as if they were installed, and may change their settings.
 */
export function inOwnNetwork(file: string, { programs }: { readonly programs?: string } = {}): boolean {
  if (process.env[mark] !== undefined) return true;
  const reason = unmet('root', 'nft');
  if (reason !== undefined) console.log(`skipped here: ${reason}`);
  (reason === undefined ? test : test.skip)(
    'in a network namespace of its own',
    async () => {
      const mounts = programs === undefined ? [] : ['--mount', '--propagation', 'private'];
      const prepare = `${programs === undefined ? '' : installPrograms}ip link set lo up; exec "$@"`;
      const command = [
        ...['unshare', '--net', ...mounts, 'sh', '-ec', prepare, programs ?? 'sh'],
        ...[process.execPath, 'test', file, '--timeout', '60000'],
      ];
      const { exitCode, stdout, stderr } = await run(command, { env: { [mark]: '1' }, timeoutMs: 280_000 });
      if (exitCode === 0) console.log(/^ *\d+ pass(\n *\d+ skip)?/m.exec(stderr)?.[0]);
      expect(exitCode, stdout + stderr).toBe(0);
    },
    290_000,
  );
  return false;
}

const installPrograms = `mount -t tmpfs -o mode=755 none /run
[ ! -d "$0" ] || for dir in etc usr; do
  mkdir -p "$0/$dir" /run/own/$dir/upper /run/own/$dir/work
  mount -t overlay none -o "lowerdir=$0/$dir:/$dir,upperdir=/run/own/$dir/upper,workdir=/run/own/$dir/work" /$dir
done
[ ! -d "$0/lib" ] || cp -a "$0/lib/." /usr/lib/
`;

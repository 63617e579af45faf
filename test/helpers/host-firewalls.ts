import { eventually } from './eventually.ts';
import { run, runOk } from './run.ts';

/** Firewalls that a host may have, for namespaces where they are as if installed and that end with the test (see `inOwnNetwork`). */

/** ufw as a new machine has it: nothing is let in or through. Disposing turns it off. */
export async function enableUfw(): Promise<AsyncDisposable> {
  await runOk(['sh', '-c', 'cp /usr/share/ufw/iptables/*.rules /etc/ufw/']);
  // What this kernel may not have, modules and IPv6 matches among it, changes nothing of what is tested.
  await runOk(['sed', '-i', 's/^IPV6=.*/IPV6=no/; s/^IPT_MODULES=.*/IPT_MODULES=""/; s/^IPT_SYSCTL=.*/IPT_SYSCTL=/', '/etc/default/ufw']);
  await Bun.write('/etc/ufw/ufw.conf', 'ENABLED=no\nLOGLEVEL=off\n');
  await runOk(['ufw', '--force', 'enable']);
  return { [Symbol.asyncDispose]: async () => void (await run(['ufw', '--force', 'disable'])) };
}

const busConfig = `<busconfig><type>system</type><listen>unix:path=/run/test-bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_destination="*"/><allow receive_sender="*"/></policy>
</busconfig>`;
const env = { DBUS_SYSTEM_BUS_ADDRESS: 'unix:path=/run/test-bus' };

/** firewalld with its zone `public`, on a message bus of its own. Disposing ends both. */
export async function startFirewalld(): Promise<AsyncDisposable> {
  await Bun.write('/run/test-bus.conf', busConfig);
  const stdio = ['ignore', 'ignore', 'ignore'] as const;
  const bus = Bun.spawn(['dbus-daemon', '--config-file=/run/test-bus.conf', '--nofork', '--nopidfile'], { stdio: [...stdio] });
  await eventually('the bus is there', async () => (await run(['test', '-S', '/run/test-bus'])).exitCode === 0);
  const firewalld = Bun.spawn(['firewalld', '--nofork', '--nopid'], { env: { ...process.env, ...env }, stdio: [...stdio] });
  await eventually('firewalld runs', async () => (await run(['firewall-cmd', '--state'], { env })).exitCode === 0, { timeoutMs: 30_000 });
  return {
    async [Symbol.asyncDispose]() {
      for (const child of [firewalld, bus]) {
        child.kill();
        await child.exited;
      }
      await run(['nft', 'delete', 'table', 'inet', 'firewalld']);
    },
  };
}

export const firewallCmd = (...args: readonly string[]): Promise<string> => runOk(['firewall-cmd', ...args], { env });

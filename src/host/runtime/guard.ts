/**
 * Ends a process when this daemon ends, however that happens: a shell waits for a word on a pipe, and the end of the pipe comes before it only when the
 * daemon is gone. `membersFile` lists the processes of its cgroup, so that nobody else is hit who was given the same number since.
 */
export function guardProcess(pid: number, membersFile: string | undefined): Disposable {
  if (membersFile === undefined) return { [Symbol.dispose]: () => undefined };
  const guard = Bun.spawn(['/bin/sh', '-c', script, 'guard', String(pid), membersFile], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    detached: true,
  });
  guard.unref();
  return {
    [Symbol.dispose]: () => {
      void guard.stdin.write('done\n');
      void guard.stdin.end();
    },
  };
}

// Signals that end a daemon, from a terminal or a service manager, must not end the guard first.
const script = `trap '' INT TERM HUP
if read -r word; then exit 0; fi
while read -r member; do if [ "$member" = "$1" ]; then kill -9 "$1"; fi; done < "$2"`;

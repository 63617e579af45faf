import { mkdtemp, rm } from 'node:fs/promises';

/** A mount namespace whose /etc is a copy that nobody else sees: accounts can be made in it. */
export interface PrivateEtc extends AsyncDisposable {
  /** A process in it, for `besideProcess`. */
  readonly pid: number;
  /** Its network, for `runInNamespace`; that of the machine unless it was given addresses. */
  readonly networkPath: string;
  /** Writes a file below its /etc. */
  write(path: string, text: string): Promise<void>;
}

export interface PrivateEtcOptions {
  /** A network of its own as well, with these addresses (`203.0.113.1`) on its loopback interface: they are nobody's and need certificates. */
  readonly addresses?: readonly string[];
}

/** The account that containers get ids from in a private /etc, and the ids of their root. */
export const remappedUser = { name: 'remapped', id: 990, uid: 200_000, gid: 300_000, size: 65_536 } as const;

/** As a daemon names its roots for that account. */
export const remappedRoot = `${String(remappedUser.uid)}.${String(remappedUser.gid)}`;

const { name, id, uid, gid, size } = remappedUser;
const script = `
mount -t tmpfs none "$0"
mkdir "$0/upper" "$0/work"
mount -t overlay none -o "lowerdir=/etc,upperdir=$0/upper,workdir=$0/work" /etc
echo '${name}:x:${String(id)}:${String(id)}::/:/bin/false' >>/etc/passwd
echo '${name}:x:${String(id)}:' >>/etc/group
echo '${name}:${String(uid)}:${String(size)}' >>/etc/subuid
echo '${name}:${String(gid)}:${String(size)}' >>/etc/subgid
if [ $# -gt 0 ]; then ip link set lo up; for address; do ip address add "$address/32" dev lo; done; fi
echo ready
read -r _`;

export async function startPrivateEtc(options: PrivateEtcOptions = {}): Promise<PrivateEtc> {
  const { addresses = [] } = options;
  const kinds = addresses.length === 0 ? ['--mount'] : ['--mount', '--net'];
  const folder = await mkdtemp('/tmp/berth-e-');
  const child = Bun.spawn(['unshare', ...kinds, '--propagation', 'private', 'sh', '-ec', script, folder, ...addresses], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const { done } = await child.stdout.getReader().read();
  if (done) throw new Error('a private /etc could not be made');
  return {
    pid: child.pid,
    networkPath: `/proc/${String(child.pid)}/ns/net`,
    write: async (path, text) => void (await Bun.write(`/proc/${String(child.pid)}/root/etc/${path}`, text)),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await child.exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

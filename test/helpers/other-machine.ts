import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { runInNamespace } from '#host/sys/netns.ts';
import { runOk } from './run.ts';

/** A network namespace that stands for another machine, joined to this host by a link as if by a cable. */
export class OtherMachine implements AsyncDisposable {
  /** The namespace as a file. */
  readonly path: string;
  /** This host's end. */
  readonly link: string;
  readonly #servers: { stop(closeActive?: boolean): void }[] = [];

  private constructor(path: string, link: string) {
    this.path = path;
    this.link = link;
  }

  /** Addresses with prefix length; the cable's end there is `lan0`. */
  static async connect(link: string, here: readonly string[], there: readonly string[]): Promise<OtherMachine> {
    // `ip netns add` would leave a mount behind, /run/netns on itself.
    const path = join(await mkdtemp('/tmp/berth-o-'), 'net');
    await Bun.write(path, '');
    await runOk(['unshare', `--net=${path}`, 'true']);
    const machine = new OtherMachine(path, link);
    await runOk(['ip', 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'lan0', 'netns', path]);
    for (const address of here) await runOk(['ip', 'address', 'add', address, 'dev', link, ...(address.includes(':') ? ['nodad'] : [])]);
    await runOk(['ip', 'link', 'set', link, 'up']);
    await machine.ip('link', 'set', 'lo', 'up');
    for (const address of there) await machine.ip('address', 'add', address, 'dev', 'lan0', ...(address.includes(':') ? ['nodad'] : []));
    await machine.ip('link', 'set', 'lan0', 'up');
    return machine;
  }

  ip(...args: readonly string[]): Promise<string> {
    return runOk(['nsenter', `--net=${this.path}`, 'ip', ...args]);
  }

  /** Answers every TCP connection with `text peer-address`. */
  serve(text: string, port: number, hostname = '0.0.0.0'): void {
    const answer = (socket: Bun.Socket): void => void socket.end(`${text} ${socket.remoteAddress.replace(/^::ffff:/, '')}`);
    this.#servers.push(runInNamespace(this.path, () => Bun.listen({ hostname, port, socket: { open: answer, data: () => undefined } })));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) server.stop(true);
    await runOk(['ip', 'link', 'delete', this.link]).catch(() => undefined);
    await runOk(['umount', this.path]);
    await rm(dirname(this.path), { recursive: true });
  }
}

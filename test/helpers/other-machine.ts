import { runInNamespace } from '#host/sys/netns.ts';
import { runOk } from './run.ts';

/** A network namespace that stands for another machine, joined to this host by a link as if by a cable. */
export class OtherMachine implements AsyncDisposable {
  readonly name: string;
  readonly path: string;
  /** This host's end. */
  readonly link: string;
  readonly #servers: { stop(closeActive?: boolean): void }[] = [];

  private constructor(name: string, link: string) {
    this.name = name;
    this.path = `/run/netns/${name}`;
    this.link = link;
  }

  /** Addresses with prefix length; the cable's end there is `lan0`. */
  static async connect(link: string, here: readonly string[], there: readonly string[]): Promise<OtherMachine> {
    const name = `${link}-${String(process.pid)}`;
    const machine = new OtherMachine(name, link);
    await runOk(['ip', 'netns', 'add', name]);
    await runOk(['ip', 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'lan0', 'netns', name]);
    for (const address of here) await runOk(['ip', 'address', 'add', address, 'dev', link, ...(address.includes(':') ? ['nodad'] : [])]);
    await runOk(['ip', 'link', 'set', link, 'up']);
    await machine.ip('link', 'set', 'lo', 'up');
    for (const address of there) await machine.ip('address', 'add', address, 'dev', 'lan0', ...(address.includes(':') ? ['nodad'] : []));
    await machine.ip('link', 'set', 'lan0', 'up');
    return machine;
  }

  ip(...args: readonly string[]): Promise<string> {
    return runOk(['ip', '-n', this.name, ...args]);
  }

  /** Answers every TCP connection with `text peer-address`. */
  serve(text: string, port: number, hostname = '0.0.0.0'): void {
    const answer = (socket: Bun.Socket): void => void socket.end(`${text} ${socket.remoteAddress.replace(/^::ffff:/, '')}`);
    this.#servers.push(runInNamespace(this.path, () => Bun.listen({ hostname, port, socket: { open: answer, data: () => undefined } })));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) server.stop(true);
    await runOk(['ip', 'link', 'delete', this.link]).catch(() => undefined);
    await runOk(['ip', 'netns', 'delete', this.name]);
  }
}

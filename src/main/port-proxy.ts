import { PortProxy } from '#host/ports/port-proxy.ts';

/** The descriptor of the listening control socket, as the daemon hands it over. */
const controlDescriptor = 3;

/** `internal-port-proxy <path of the control socket>`: holds published ports for a daemon, also after its death. */
export function main(argv: readonly string[]): void {
  const [controlPath] = argv;
  if (controlPath === undefined) throw new Error('internal-port-proxy needs the path of its control socket');
  process.title = 'berth-port-proxy';
  new PortProxy(controlDescriptor, controlPath).run();
  process.exit(0);
}

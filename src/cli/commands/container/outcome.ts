import type { ContainerWaitResponse } from '#api/types/container.ts';
import type { Cli } from '../../cli.ts';
import type { TerminalSize } from '../../streams/signals.ts';

/** The exit code that a wait ended with; what kept the daemon from telling is said on stderr. */
export function exitCodeOf(cli: Cli, result: ContainerWaitResponse): number {
  const message = result.Error?.Message ?? '';
  if (message === '') return result.StatusCode;
  cli.err.line(`Error waiting for container: ${message}`);
  return 125;
}

export function terminalSize(cli: Cli): TerminalSize | undefined {
  const size = cli.out.size;
  return size === undefined ? undefined : { height: size.rows, width: size.columns };
}

import type { Cli } from '../cli.ts';
import { ExitError } from '../errors.ts';
import { PlainDisplay } from './plain-display.ts';
import { RawDisplay } from './raw-display.ts';
import type { Display } from './status.ts';
import { TerminalDisplay } from './terminal-display.ts';

const silent: Display = { update: () => undefined, finish: () => undefined };

/** The way of showing progress that `--progress` names; BUILDKIT_PROGRESS is the default of `auto`. */
export function displayFor(cli: Cli, mode: string): Display {
  const given = mode === 'auto' ? (process.env.BUILDKIT_PROGRESS ?? '') : mode;
  const terminal = (): Display => new TerminalDisplay(cli.err, { label: 'docker:default', hasColor: (process.env.NO_COLOR ?? '') === '' });
  switch (given) {
    case '':
    case 'auto':
      return cli.err.isTerminal ? terminal() : new PlainDisplay(cli.err);
    case 'tty':
      if (!cli.err.isTerminal) throw new ExitError(1, 'failed to get console: --progress=tty needs a terminal');
      return terminal();
    case 'plain':
      return new PlainDisplay(cli.err);
    case 'rawjson':
      return new RawDisplay(cli.err);
    case 'quiet':
    case 'none':
      return silent;
    default:
      throw new ExitError(1, `invalid progress mode ${JSON.stringify(given)}: expected auto, none, plain, quiet, rawjson or tty`);
  }
}

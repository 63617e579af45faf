import { invalidArgument } from '#base/errors.ts';
import { type Setting, settings } from './daemon-settings.ts';

export interface DaemonFlags {
  /** Values in the order given, by setting. */
  readonly values: ReadonlyMap<Setting, readonly string[]>;
  readonly help: boolean;
  readonly version: boolean;
  /** Check the configuration and leave. */
  readonly validate: boolean;
}

/** Flags as GNU and pflag write them: `--flag value`, `--flag=value`, `-Hvalue`, `-H value`, `-D`. Rejects with InvalidArgument naming the flag. */
export function parseDaemonFlags(argv: readonly string[]): DaemonFlags {
  const values = new Map<Setting, string[]>();
  const switches = new Set<string>();
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const plain = { '--help': 'help', '-h': 'help', '--version': 'version', '-v': 'version', '--validate': 'validate' }[word];
    if (plain !== undefined) {
      switches.add(plain);
      continue;
    }
    const { name, inline, setting } = readFlag(word);
    const value = inline ?? (setting.type === 'bool' ? 'true' : rest.shift());
    if (value === undefined) throw invalidArgument(`flag needs an argument: ${name}`);
    const list = values.get(setting) ?? [];
    list.push(checked(setting, name, value));
    values.set(setting, list);
  }
  return { values, help: switches.has('help'), version: switches.has('version'), validate: switches.has('validate') };
}

function readFlag(word: string): { name: string; inline: string | undefined; setting: Setting } {
  const long = /^--([^=]+)(?:=(.*))?$/s.exec(word);
  if (long?.[1] !== undefined) {
    const setting = settings.find(one => one.flag === long[1]);
    if (setting === undefined) throw invalidArgument(`unknown flag: --${long[1]}`);
    return { name: `--${long[1]}`, inline: long[2], setting };
  }
  const short = /^-(\w)=?(.*)$/s.exec(word);
  if (short?.[1] !== undefined) {
    const setting = settings.find(one => one.short === short[1]);
    if (setting === undefined) throw invalidArgument(`unknown shorthand flag: '${short[1]}' in ${word}`);
    return { name: `-${short[1]}`, inline: short[2] === '' ? undefined : short[2], setting };
  }
  throw invalidArgument(`unexpected argument "${word}": the daemon takes flags only, see berth daemon --help`);
}

function checked(setting: Setting, name: string, value: string): string {
  if (setting.type === 'bool') {
    if (/^(1|t|true)$/i.test(value)) return 'true';
    if (/^(0|f|false)$/i.test(value)) return 'false';
    throw invalidArgument(`invalid argument "${value}" for ${name}: expected true or false`);
  }
  if (setting.type === 'int' && !/^-?\d+$/.test(value))
    throw invalidArgument(`invalid argument "${value}" for ${name}: expected a whole number`);
  return value;
}

export function daemonHelp(): string {
  const rows = settings
    .filter(setting => setting.flag !== undefined)
    .toSorted((a, b) => String(a.flag).localeCompare(String(b.flag)))
    .map(setting => {
      const left = `${setting.short === undefined ? '    ' : `-${setting.short}, `}--${String(setting.flag)}${setting.type === 'bool' ? '' : ` ${valueWord(setting)}`}`;
      return `  ${left.padEnd(36)} ${setting.help}`;
    });
  return `Usage:  berth daemon [OPTIONS]

Run the container daemon

Options:
${rows.join('\n')}
  -h, --help                           Show this text
      --validate                       Check the configuration and exit
  -v, --version                        Show the version
`;
}

const valueWord = (setting: Setting): string =>
  ({ string: 'string', int: 'int', bytes: 'bytes', list: 'list', map: 'key=value', object: 'list', bool: '' })[setting.type];

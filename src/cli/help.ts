import type { AnyCommand, Commands, Entry } from './command.ts';
import type { Flag, Flags } from './flags/flag.ts';
import type { Output } from './output/terminal.ts';

/** Text for a person: at most the terminal's width, at least what can be read. */
const helpWidth = (out: Output): number => Math.max(40, out.size?.columns ?? 80);

export function usageLine(path: string, usage: string): string {
  return `Usage:  ${usage
    .split('\n')
    .map(line => `${path} ${line}`.trimEnd())
    .join('\n\t')}`;
}

/** The help of one command. */
export function commandHelp(program: string, path: string, command: AnyCommand, out: Output): string {
  const parts = [usageLine(path, command.usage), command.long ?? command.short];
  if (command.names.length > 1) parts.push(`Aliases:\n  ${command.names.map(name => `${program} ${name}`).join(', ')}`);
  const flags = flagHelp(command.flags, helpWidth(out));
  if (flags !== '') parts.push(`Options:\n${flags}`);
  return `${parts.join('\n\n')}\n`;
}

/** One line a flag, the descriptions under each other and wrapped. */
export function flagHelp(flags: Flags, width: number): string {
  const rows = Object.entries(flags)
    .filter(([, flag]) => flag.hidden !== true && flag.deprecated === undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, flag]) => [flagWords(name, flag), flagText(flag)] as const);
  const column = Math.max(0, ...rows.map(([words]) => words.length)) + 3;
  return rows.map(([words, text]) => words.padEnd(column) + wrap(text, width - column).join(`\n${' '.repeat(column)}`)).join('\n');
}

function flagWords(name: string, flag: Flag<unknown>): string {
  const hint = flag.hint ?? flag.type.hint;
  return `  ${flag.short === undefined ? '    ' : `-${flag.short}, `}--${name}${hint === '' ? '' : ` ${hint}`}`;
}

function flagText(flag: Flag<unknown>): string {
  const shown = flag.type.showDefault?.(flag.default ?? flag.type.initial) ?? '';
  return shown === '' ? flag.usage : `${flag.usage} (default ${shown})`;
}

function wrap(text: string, width: number): string[] {
  const limit = Math.max(24, width);
  return text.split('\n').flatMap(paragraph => {
    const lines: string[] = [];
    let line = '';
    for (const word of paragraph.split(' ')) {
      if (line !== '' && line.length + 1 + word.length > limit) {
        lines.push(line);
        line = word;
      } else line = line === '' ? word : `${line} ${word}`;
    }
    return [...lines, line];
  });
}

export function listCommands(commands: readonly (readonly [string, Entry])[]): string {
  const column = Math.max(11, ...commands.map(([name]) => name.length + 1)) + 1;
  return commands.map(([name, entry]) => `  ${name.padEnd(column - 1)} ${entry.short}`.trimEnd()).join('\n');
}

const visible = (commands: Commands): (readonly [string, Entry])[] =>
  Object.entries(commands)
    .filter(([, entry]) => entry.hidden !== true)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));

/** The help of a group of commands. */
export function groupHelp(path: string, entry: Entry): string {
  return [
    `Usage:  ${path} COMMAND`,
    entry.short,
    `Commands:\n${listCommands(visible(entry.commands ?? {}))}`,
    `Run '${path} COMMAND --help' for more information on a command.\n`,
  ].join('\n\n');
}

export interface RootHelp {
  readonly program: string;
  readonly common: readonly string[];
  readonly commands: Commands;
  readonly flags: Flags;
  readonly plugins: readonly (readonly [string, Entry])[];
  readonly services: readonly (readonly [string, string])[];
}

/** The help of the program itself. */
export function rootHelp(root: RootHelp, out: Output): string {
  const { program, common, commands } = root;
  const all = visible(commands);
  const named = common.flatMap(name => (commands[name] === undefined ? [] : [[name, commands[name]] as const]));
  const groups = [...all.filter(([, entry]) => entry.commands !== undefined), ...root.plugins].toSorted(([a], [b]) => (a < b ? -1 : 1));
  const rest = all.filter(([name, entry]) => entry.commands === undefined && !common.includes(name));
  return [
    `Usage:  ${program} [OPTIONS] COMMAND`,
    'Containers from images, on this machine or another',
    `Common Commands:\n${listCommands(named)}`,
    `Management Commands:\n${listCommands(groups)}`,
    `Commands:\n${listCommands(rest)}`,
    ...(root.services.length === 0 ? [] : [`Services:\n${listCommands(root.services.map(([word, short]) => [word, { short }] as const))}`]),
    `Global Options:\n${flagHelp(root.flags, helpWidth(out))}`,
    `Run '${program} COMMAND --help' for more information on a command.\n`,
  ].join('\n\n');
}

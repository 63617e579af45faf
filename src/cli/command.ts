import type { Cli } from './cli.ts';
import type { Flags } from './flags/flag.ts';
import type { Parsed } from './flags/parse.ts';
import type { Requirements } from './requirements.ts';

/** What is said about a command in lists, without loading it. */
export interface Entry {
  readonly short: string;
  readonly load?: () => Promise<{ readonly command: AnyCommand }>;
  /** A group of commands. */
  readonly commands?: Commands;
  /** Shown only by its own help. */
  readonly hidden?: boolean;
  /** Holds for every command of a group as well. */
  readonly requires?: Requirements;
  /** Other last words for the same thing: `ls` and `list`. */
  readonly also?: readonly string[];
}

export type Commands = Readonly<Record<string, Entry>>;

/** How many words may follow the flags; throws ArgsError otherwise. */
export interface ArgsRule {
  accepts(count: number): boolean;
  readonly text: string;
  /** Docker points with another word to the help of commands with a minimum. */
  readonly see: 'See' | 'Run';
}

export interface CommandSpec<F extends Flags> {
  /** The words after the command in its usage line: `[OPTIONS] CONTAINER [CONTAINER...]`. */
  readonly usage: string;
  /** Every way to write it, without the program's name; the first is the one in full. */
  readonly names: readonly string[];
  readonly short: string;
  /** Replaces `short` in help when there is more to say. */
  readonly long?: string;
  readonly args: ArgsRule;
  readonly flags: F;
  readonly interspersed?: boolean;
  /** What it resolves with is the exit code; nothing is 0. */
  run(cli: Cli, parsed: Parsed<F>): Promise<number | void>;
}

export interface AnyCommand {
  readonly usage: string;
  readonly names: readonly string[];
  readonly short: string;
  readonly long?: string;
  readonly args: ArgsRule;
  readonly flags: Flags;
  readonly interspersed?: boolean;
  run(cli: Cli, parsed: Parsed<Flags>): Promise<number | void>;
}

/** Keeps the types of the flags for `run` and forgets them for everybody else. */
export const defineCommand = <const F extends Record<string, unknown>>(spec: CommandSpec<F & Flags>): AnyCommand =>
  spec as unknown as AnyCommand;

const plural = (count: number): string => `${count} argument${count === 1 ? '' : 's'}`;

export const noArgs: ArgsRule = { accepts: count => count === 0, text: 'accepts no arguments', see: 'Run' };
export const exactArgs = (wanted: number): ArgsRule => ({
  accepts: count => count === wanted,
  text: `requires ${plural(wanted)}`,
  see: 'Run',
});
export const minArgs = (least: number): ArgsRule => ({
  accepts: count => count >= least,
  text: `requires at least ${plural(least)}`,
  see: 'See',
});
export const maxArgs = (most: number): ArgsRule => ({
  accepts: count => count <= most,
  text: `requires at most ${plural(most)}`,
  see: 'Run',
});
export const rangeArgs = (least: number, most: number): ArgsRule => ({
  accepts: count => count >= least && count <= most,
  text: `requires at least ${least} and at most ${plural(most)}`,
  see: 'Run',
});
export const anyArgs: ArgsRule = { accepts: () => true, text: '', see: 'Run' };

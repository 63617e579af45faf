import type { ImageExecConfig } from '#oci/image-config.ts';
import { titleOf } from './copy-operation.ts';
import { expand } from './expand.ts';
import type { CommandLine, Mount, RunInstruction } from './instructions.ts';
import { resolveMount } from './mounts.ts';
import type { RunOperation, StageState } from './operations.ts';
import { soleDocument } from './parse-instruction.ts';

const defaultShell = ['/bin/sh', '-c'];

/** A command for the shell of the moment. */
export function withShell(config: ImageExecConfig, text: string): string[] {
  const shell = config.Shell ?? [];
  return [...(shell.length > 0 ? shell : defaultShell), text];
}

export interface RunContext {
  readonly state: StageState;
  readonly word: (text: string) => string;
  readonly escape: '\\' | '`';
}

/** What a `RUN` does, and its line in the history without the word before and the mark behind. */
export function runOf(instruction: RunInstruction, { state, word, escape }: RunContext): { operation: RunOperation; history: string } {
  const config = state.image.config ?? {};
  const cwd = config.WorkingDir ?? '';
  const mounts = instruction.mounts.map(flag => resolveMount(flag, { expand: word, cwd }));
  const document = soleDocument(instruction.command);
  const { args, script } = commandOf(instruction.command, config);
  const env = [...state.variables].map(([name, value]) => `${name}=${value}`);
  const masked = maskSecrets(state.variables, mounts);
  const title = titleOf(
    document === undefined ? instruction.code : `${instruction.code} (${firstLine(document.body)})`,
    text => expand(text, name => masked.get(name), { escape, keepQuotes: true, keepUnset: true }).text,
  );
  const { network, security, devices, range } = instruction;
  return {
    operation: {
      kind: 'run',
      title,
      range,
      args,
      env,
      cwd: cwd === '' ? '/' : cwd,
      user: config.User ?? '',
      ...(script !== undefined && { script }),
      mounts,
      network,
      security,
      devices,
    },
    history: [...argsInHistory(state), ...args].join(' '),
  };
}

function commandOf(command: CommandLine, config: ImageExecConfig): { args: readonly string[]; script?: { path: string; content: string } } {
  if (command.form === 'exec') return { args: command.args };
  const document = soleDocument(command);
  if (document === undefined) {
    const bodies = command.heredocs.map(({ content, name }) => `\n${content}${name}`);
    return { args: withShell(config, command.text + bodies.join('')) };
  }
  if (!document.body.startsWith('#!')) return { args: withShell(config, document.body) };
  const path = `/dev/pipes/${document.name}`;
  return { args: withShell(config, path), script: { path, content: document.body } };
}

/** `|2 A=1 B=2`: the arguments that the command could see. */
function argsInHistory({ args, variables }: StageState): string[] {
  const values = new Map<string, string>();
  for (const { name, value } of args) values.set(name, variables.get(name) ?? value ?? '');
  return values.size === 0 ? [] : [`|${values.size}`, ...[...values].map(([name, value]) => `${name}=${value}`)];
}

/** A variable that gets its value from a secret shows that it does. */
function maskSecrets(variables: ReadonlyMap<string, string>, mounts: readonly Mount[]): ReadonlyMap<string, string> {
  const masked = new Map(variables);
  for (const mount of mounts) if (mount.type === 'secret' && mount.env !== undefined) masked.set(mount.env, '****');
  return masked;
}

function firstLine(document: string): string {
  const [first = '', ...more] = document.trim().split(/\r?\n/);
  return more.length === 0 ? first : `${first}...`;
}

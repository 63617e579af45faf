import type { ContainerConfig } from './model.ts';

const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The environment of a container's first process; `linked` is what links tell. A name without a value takes a variable away. */
export function containerEnvironment(config: ContainerConfig, hostname: string, home: string, linked: readonly string[]): string[] {
  const base = [defaultPath, `HOSTNAME=${hostname}`, ...(config.tty ? ['TERM=xterm'] : []), ...linked];
  return withHome(replaceVariables(base, config.env), home);
}

/** The environment of an exec: the container's with what the exec adds. */
export function execEnvironment(
  config: ContainerConfig,
  own: {
    readonly hostname: string;
    readonly home: string;
    readonly tty: boolean;
    readonly env: readonly string[];
    readonly linked: readonly string[];
  },
): string[] {
  const { hostname, home, tty, env, linked } = own;
  const base = [defaultPath, `HOSTNAME=${hostname}`, ...(tty ? ['TERM=xterm'] : []), ...linked];
  return withHome(replaceVariables(base, [...config.env, ...env]), home);
}

function replaceVariables(base: readonly string[], changes: readonly string[]): string[] {
  const variables = new Map(base.map(variable => [nameOf(variable), variable]));
  for (const change of changes) {
    if (change.includes('=')) variables.set(nameOf(change), change);
    else variables.delete(change);
  }
  return [...variables.values()];
}

const withHome = (variables: string[], home: string): string[] =>
  variables.some(variable => variable.startsWith('HOME=')) ? variables : [...variables, `HOME=${home}`];

const nameOf = (variable: string): string => variable.slice(0, variable.indexOf('='));

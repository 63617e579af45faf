import { invalidArgument } from '#base/errors.ts';
import type { LogSubject } from '#core/logs.ts';

/** Options of every driver that choose what is said beside a line. */
export const attributeOptions = ['env', 'env-regex', 'labels', 'labels-regex', 'tag'] as const;

/** The labels and variables that options choose, by their names. `rename` makes a driver's own names of them. */
export function chosenAttributes(
  { env, labels, logConfig }: LogSubject,
  rename: (name: string) => string = name => name,
): Record<string, string> {
  const { config } = logConfig;
  const variables: Record<string, string> = {};
  for (const text of env) {
    const at = text.indexOf('=');
    if (at >= 0) variables[text.slice(0, at)] = text.slice(at + 1);
  }
  const chosen: Record<string, string> = {};
  choose(labels, config.labels, config['labels-regex'], (name, value) => (chosen[rename(name)] = value));
  choose(variables, config.env, config['env-regex'], (name, value) => (chosen[rename(name)] = value));
  return chosen;
}

function choose(
  all: Readonly<Record<string, string>>,
  list: string | undefined,
  pattern: string | undefined,
  take: (name: string, value: string) => void,
): void {
  for (const name of (list ?? '').split(',')) {
    const value = Object.hasOwn(all, name) ? all[name] : undefined;
    if (name !== '' && value !== undefined) take(name, value);
  }
  if (pattern === undefined || pattern === '') return;
  const expression = parsePattern(pattern);
  for (const [name, value] of Object.entries(all)) if (expression.test(name)) take(name, value);
}

/** Rejects with InvalidArgument for what is no regular expression. */
export function parsePattern(pattern: string): RegExp {
  try {
    return new RegExp(pattern, 'u');
  } catch (err) {
    throw invalidArgument(`error parsing regexp: ${JSON.stringify(pattern)}`, { cause: err });
  }
}

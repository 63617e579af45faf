import { invalidArgument } from '#base/errors.ts';
import type { ImageExecConfig, ImageHealthcheck } from '#oci/image-config.ts';

/** `set` are the instructions that came before. */
type Change = (config: ImageExecConfig, rest: string, set: ReadonlySet<string>) => ImageExecConfig;

/** The instructions that `docker import --change` and `docker commit --change` take. */
const changes: Readonly<Record<string, Change>> = {
  CMD: (config, rest) => ({ ...config, Cmd: parseCommand(rest, config) }),
  // A command that was meant for another entrypoint goes.
  ENTRYPOINT: ({ Cmd, ...config }, rest, set) => ({
    ...config,
    Entrypoint: parseCommand(rest, config),
    ...(set.has('CMD') && Cmd !== undefined ? { Cmd } : {}),
  }),
  ENV: (config, rest) => ({ ...config, Env: setEnv(config.Env ?? [], parsePairs('ENV', rest)) }),
  EXPOSE: (config, rest) => ({ ...config, ExposedPorts: { ...config.ExposedPorts, ...ports(rest) } }),
  HEALTHCHECK: (config, rest) => ({ ...config, Healthcheck: parseHealthcheck(rest) }),
  LABEL: (config, rest) => ({ ...config, Labels: { ...config.Labels, ...Object.fromEntries(parsePairs('LABEL', rest)) } }),
  ONBUILD: (config, rest) => ({ ...config, OnBuild: [...(config.OnBuild ?? []), checkTrigger(rest)] }),
  STOPSIGNAL: (config, rest) => ({ ...config, StopSignal: one('STOPSIGNAL', rest) }),
  USER: (config, rest) => ({ ...config, User: one('USER', rest) }),
  VOLUME: (config, rest) => ({ ...config, Volumes: { ...config.Volumes, ...volumes(rest) } }),
  WORKDIR: (config, rest) => ({ ...config, WorkingDir: resolvePath(config.WorkingDir ?? '', unquote(rest.trim())) }),
};

/** Applies Dockerfile instructions to a configuration, one after the other. Rejects with InvalidArgument, naming what it cannot read. */
export function applyChanges(config: ImageExecConfig, lines: readonly string[]): ImageExecConfig {
  let changed = config;
  const set = new Set<string>();
  for (const line of lines.flatMap(text => joinLines(text))) {
    const [, word = '', rest = ''] = /^\s*(\S+)\s*(.*)$/s.exec(line) ?? [];
    const name = word.toUpperCase();
    const change = changes[name];
    if (change === undefined) {
      throw invalidArgument(`${word} is not a valid change command`);
    }
    if (rest.trim() === '') throw invalidArgument(`${name} requires at least one argument`);
    changed = change(changed, rest, set);
    set.add(name);
  }
  return changed;
}

const joinLines = (text: string): string[] =>
  text
    .replace(/\\[ \t]*\r?\n/g, '')
    .split(/\r?\n/)
    .filter(line => line.trim() !== '' && !line.trim().startsWith('#'));

/** A JSON list is used as it is; anything else is for the shell. */
function parseCommand(rest: string, { Shell }: ImageExecConfig): string[] {
  return parseJsonList(rest) ?? [...(Shell ?? ['/bin/sh', '-c']), rest.trim()];
}

function parseJsonList(rest: string): string[] | undefined {
  if (!rest.trim().startsWith('[')) return undefined;
  try {
    const list: unknown = JSON.parse(rest);
    if (Array.isArray(list) && list.every(entry => typeof entry === 'string')) return list;
  } catch {
    // Then it is a command for the shell that happens to begin with a bracket.
  }
  return undefined;
}

/** Words, with quotes and backslashes as in a shell. */
function splitWords(text: string): string[] {
  return text.match(/(?:"(?:[^"\\]|\\.)*"|'[^']*'|\\.|[^\s"'\\])+/gs) ?? [];
}

function unquote(word: string): string {
  return word.replace(/"((?:[^"\\]|\\.)*)"|'([^']*)'|\\(.)/gs, (_all, double?: string, single?: string, escaped?: string) =>
    double !== undefined ? double.replace(/\\(["\\$`])/g, '$1') : (single ?? escaped ?? ''),
  );
}

/** `key=value key2="a b"`, or the old form `key the rest`. */
function parsePairs(name: string, rest: string): [string, string][] {
  const words = splitWords(rest);
  if (words[0]?.includes('=') !== true) {
    const [, key = '', value] = /^\s*(\S+)\s+(.*)$/s.exec(rest) ?? [];
    if (value === undefined) throw invalidArgument(`${name} must have two arguments`);
    return [[unquote(key), unquote(value.trim())]];
  }
  return words.map(word => {
    const equals = word.indexOf('=');
    if (equals < 0) throw invalidArgument(`Syntax error - can't find = in "${word}". Must be of the form: name=value`);
    if (equals === 0) throw invalidArgument(`${name} names can not be blank`);
    return [unquote(word.slice(0, equals)), unquote(word.slice(equals + 1))];
  });
}

export const nameOfVariable = (variable: string): string => variable.split('=', 1)[0] ?? '';

function setEnv(env: readonly string[], pairs: readonly (readonly [string, string])[]): string[] {
  const next = [...env];
  for (const [key, value] of pairs) {
    const at = next.findIndex(entry => entry.startsWith(`${key}=`));
    if (at < 0) next.push(`${key}=${value}`);
    else next[at] = `${key}=${value}`;
  }
  return next;
}

function ports(rest: string): Record<string, object> {
  const entries = splitWords(rest).flatMap(word => {
    const match = /^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/i.exec(unquote(word));
    const [first, last] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
    if (match === null || first > last || last > 65_535) throw invalidArgument(`invalid containerPort: ${word}`);
    return Array.from({ length: last - first + 1 }, (_unused, index) => [`${first + index}/${(match[3] ?? 'tcp').toLowerCase()}`, {}]);
  });
  return Object.fromEntries(entries) as Record<string, object>;
}

function volumes(rest: string): Record<string, object> {
  const paths = parseJsonList(rest) ?? splitWords(rest).map(unquote);
  if (paths.some(path => path.trim() === '')) throw invalidArgument('VOLUME specified can not be an empty string');
  return Object.fromEntries(paths.map(path => [path, {}]));
}

function checkTrigger(rest: string): string {
  const trigger = rest.trim();
  const name = (trigger.split(/\s/)[0] ?? '').toUpperCase();
  if (name === 'ONBUILD') throw invalidArgument("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (name === 'FROM' || name === 'MAINTAINER') throw invalidArgument(`${name} isn't allowed as an ONBUILD trigger`);
  return trigger;
}

function one(name: string, rest: string): string {
  const words = splitWords(rest);
  if (words.length !== 1 || words[0] === undefined) throw invalidArgument(`${name} requires exactly one argument`);
  return unquote(words[0]);
}

function resolvePath(base: string, path: string): string {
  const parts: string[] = [];
  for (const part of `${path.startsWith('/') ? '' : `${base}/`}${path}`.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

const healthFlags: Readonly<Record<string, 'Interval' | 'Timeout' | 'StartPeriod' | 'StartInterval' | 'Retries'>> = {
  interval: 'Interval',
  timeout: 'Timeout',
  'start-period': 'StartPeriod',
  'start-interval': 'StartInterval',
  retries: 'Retries',
};

function parseHealthcheck(rest: string): ImageHealthcheck {
  const settings: Record<string, number> = {};
  let text = rest.trim();
  for (let flag = /^--([a-z-]+)=(\S+)\s*/.exec(text); flag !== null; flag = /^--([a-z-]+)=(\S+)\s*/.exec(text)) {
    const [all, name = '', value = ''] = flag;
    const field = healthFlags[name];
    if (field === undefined) throw invalidArgument(`unknown flag: --${name}`);
    settings[field] = field === 'Retries' ? parseRetries(value) : parseDuration(name, value);
    text = text.slice(all.length);
  }
  const [, kind = '', command = ''] = /^(\S+)\s*(.*)$/s.exec(text) ?? [];
  if (kind.toUpperCase() === 'NONE') {
    if (command !== '') throw invalidArgument('HEALTHCHECK NONE takes no arguments');
    return { Test: ['NONE'] };
  }
  if (kind.toUpperCase() !== 'CMD') throw invalidArgument(`Unknown type "${kind.toUpperCase()}" in HEALTHCHECK (try CMD)`);
  if (command === '') throw invalidArgument('Missing command after HEALTHCHECK CMD');
  const list = parseJsonList(command);
  return { Test: list === undefined ? ['CMD-SHELL', command] : ['CMD', ...list], ...settings };
}

function parseRetries(value: string): number {
  if (!/^\d+$/.test(value)) throw invalidArgument(`--retries must be a number, not "${value}"`);
  return Number(value);
}

const unitNs: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 6e10, h: 36e11 };

function parseDuration(name: string, value: string): number {
  const parts = [...value.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(part => part[0]).join('') !== value) {
    throw invalidArgument(`invalid duration "${value}" for --${name}: expected something like 30s`);
  }
  const total = parts.reduce((sum, part) => sum + Number(part[1]) * (unitNs[part[2] ?? ''] ?? 0), 0);
  if (total !== 0 && total < 1e6) throw invalidArgument(`Interval "${name}" cannot be less than 1ms`);
  return total;
}

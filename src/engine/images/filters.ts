import { invalidArgument } from '#base/errors.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import { familiarName, familiarString, type Reference } from '#oci/reference.ts';

/** Values by filter name. Different names must all match; of one name's values one is enough, except for labels. */
export type Filters = Readonly<Record<string, readonly string[]>>;

/** Rejects with InvalidArgument, naming the first filter that is not in the list. */
export function checkFilters(filters: Filters, known: readonly string[]): void {
  for (const name of Object.keys(filters)) if (!known.includes(name)) throw invalidArgument(`invalid filter '${name}'`);
}

/** When the image says it was made; the beginning of 1970 when it does not say. */
export function createdAt(config: ImageConfigFile): Date {
  const time = new Date(config.created ?? 0);
  return Number.isNaN(time.getTime()) ? new Date(0) : time;
}

const truths: Readonly<Record<string, boolean>> = { '1': true, t: true, true: true, '0': false, f: false, false: false };

export const parseBoolean = (value: string): boolean => parseTruth('dangling', value);

/** The value of a filter that is true or false. */
export function parseTruth(name: string, value: string): boolean {
  const truth = truths[value.toLowerCase()];
  if (truth === undefined) throw invalidArgument(`invalid filter '${name}=[${value}]'`);
  return truth;
}

/** Every `label` must be there (`key` or `key=value`), every `label!` must not. */
export function matchesLabels(filters: Filters, labels: Readonly<Record<string, string>>): boolean {
  const has = (wanted: string): boolean => {
    const equals = wanted.indexOf('=');
    const key = equals < 0 ? wanted : wanted.slice(0, equals);
    return Object.hasOwn(labels, key) && (equals < 0 || labels[key] === wanted.slice(equals + 1));
  };
  return (filters.label ?? []).every(has) && !(filters['label!'] ?? []).some(has);
}

/** Whether a pattern such as `busybox`, `busy*:1.*` or `quay.io/x*` matches a name, in whole or without its tag. A `*` stops at slashes. */
export function matchesReference(pattern: string, ref: Reference): boolean {
  const glob = toRegExp(pattern);
  return glob.test(familiarString(ref)) || glob.test(familiarName(ref)) || (ref.domain === 'docker.io' && glob.test(ref.path));
}

function toRegExp(pattern: string): RegExp {
  let source = '';
  for (let at = 0; at < pattern.length; at += 1) {
    const char = pattern[at] as string;
    const close = char === '[' ? pattern.indexOf(']', at + 2) : -1;
    if (char === '*') source += '[^/]*';
    else if (char === '?') source += '[^/]';
    else if (char === '[' && close > 0) {
      source += pattern.slice(at, close + 1).replaceAll('\\', '\\\\');
      at = close;
    } else if (char === '[') throw invalidArgument(`invalid reference pattern "${pattern}": "[" without "]"`);
    else source += RegExp.escape(char);
  }
  return new RegExp(`^${source}$`);
}

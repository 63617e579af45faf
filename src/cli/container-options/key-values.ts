import { readFileSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import { cut } from '../flags/flag.ts';

type LookUp = (name: string) => string | undefined;

/** The `NAME=value` lines of a file for `--env-file` or `--label-file`. A name alone takes its value from `lookUp`, or is left out. */
export function readKeyValueFile(path: string, lookUp?: LookUp): string[] {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (err) {
    if (isErrno(err, 'ENOENT')) throw new Error(`open ${path}: no such file or directory`, { cause: err });
    if (isErrno(err, 'EACCES')) throw new Error(`open ${path}: permission denied`, { cause: err });
    throw err;
  }
  try {
    return parseKeyValues(bytes, lookUp);
  } catch (err) {
    throw new Error(`invalid env file (${path}): ${err instanceof Error ? err.message : String(err)}`, { cause: err });
  }
}

export function parseKeyValues(bytes: Uint8Array, lookUp?: LookUp): string[] {
  const found: string[] = [];
  const lines = splitLines(bytes);
  for (const [i, raw] of lines.entries()) {
    let line: string;
    try {
      line = new TextDecoder('utf-8', { fatal: true, ignoreBOM: i > 0 }).decode(raw);
    } catch (err) {
      throw new Error(`invalid utf8 bytes at line ${i + 1}: the file must be UTF-8`, { cause: err });
    }
    const text = line.replace(/\r$/, '').replace(/^\s+/, '');
    if (text === '' || text.startsWith('#')) continue;
    const [name, value] = cut(text);
    if (/\s/.test(name)) throw new Error(`variable '${name}' contains whitespaces`);
    if (name === '') throw new Error(`no variable name on line '${text}'`);
    const known = value ?? lookUp?.(name);
    if (known !== undefined) found.push(`${name}=${known}`);
    else if (lookUp === undefined) found.push(name);
  }
  return found;
}

function splitLines(bytes: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = [];
  let from = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, from)) {
    lines.push(bytes.subarray(from, at));
    from = at + 1;
  }
  if (from < bytes.length) lines.push(bytes.subarray(from));
  return lines;
}

/** `NAME=value` for each name; one without `=` has the empty value. */
export function toRecord(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map(pair => {
      const [name, value] = cut(pair);
      return [name, value ?? ''];
    }),
  );
}

/** What `-e` takes: a name alone stands for the variable of this process, or is passed on to unset it. */
export function checkEnv(value: string): string {
  const [name, given] = cut(value);
  if (name === '') throw new Error(`invalid environment variable: ${value}`);
  const known = given === undefined ? process.env[name] : undefined;
  return known === undefined ? value : `${name}=${known}`;
}

export function checkLabel(value: string): string {
  const [name] = cut(value);
  if (name.trimStart() !== name || name.trim() === '')
    throw new Error(name.trim() === '' ? `invalid label '${value}': empty name` : `invalid label '${value}'`);
  if (/\s/.test(name)) throw new Error(`label '${name}' contains whitespaces`);
  return value;
}

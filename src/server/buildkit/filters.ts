import { splitCsv } from '#base/csv.ts';
import { invalidArgument } from '#base/errors.ts';

/** What filters ask about, by name; a number is compared by size. */
export type Fields = Readonly<Record<string, string | number>>;

/** Reads the value that a number is to be compared with. */
export type ReadValue = (key: string, text: string) => number;

/**
 * Reads filters as containerd writes them: conditions with commas between them all hold, and one of several filters has to. `key==value`, `key!=value`,
 * `key~=regex`, or a key alone; for numbers `key<value`, `<=`, `>`, `>=`. Rejects with InvalidArgument.
 */
export function parseFilters(filters: readonly string[], readValue: ReadValue = (_key, text) => Number(text)): (fields: Fields) => boolean {
  const alternatives = filters
    .filter(filter => filter !== '')
    .map(filter => splitConditions(filter).map(text => condition(text, readValue)));
  return fields => alternatives.length === 0 || alternatives.some(all => all.every(holds => holds(fields)));
}

/** Commas in quotes are no ends, whether the whole condition is quoted or its value. */
function splitConditions(filter: string): string[] {
  if (filter.startsWith('"')) return splitCsv(filter);
  return filter.match(/(?:"[^"]*"|[^,])+/g) ?? [];
}

function condition(text: string, readValue: ReadValue): (fields: Fields) => boolean {
  const [, key = '', operator, written = ''] = /^\s*([a-zA-Z.]+)(?:(==|!=|~=|<=|>=|<|>)(.*))?\s*$/.exec(text) ?? [];
  const value = written.replace(/^"(.*)"$/, '$1');
  if (key === '') throw invalidArgument(`invalid filter ${JSON.stringify(text)}: expected key==value, key!=value or key~=value`);
  const field = (fields: Fields): string | number => fields[key] ?? fields[key.toLowerCase()] ?? '';
  switch (operator) {
    case '==':
      return fields => String(field(fields)) === value;
    case '!=':
      return fields => String(field(fields)) !== value;
    case '~=': {
      const pattern = expression(value);
      return fields => pattern.test(String(field(fields)));
    }
    case '<':
    case '<=':
    case '>':
    case '>=': {
      const limit = readValue(key, value);
      if (!Number.isFinite(limit)) throw invalidArgument(`invalid value ${JSON.stringify(value)} for the filter ${key}`);
      return fields => compares(operator, Number(field(fields)), limit);
    }
    default:
      return fields => !['', 'false'].includes(String(field(fields)));
  }
}

function expression(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (cause) {
    throw invalidArgument(`invalid regular expression ${JSON.stringify(text)} in a filter`, { cause });
  }
}

function compares(operator: '<' | '<=' | '>' | '>=', left: number, right: number): boolean {
  if (operator.endsWith('=') && left === right) return true;
  return operator.startsWith('<') ? left < right : left > right;
}

import { invalidArgument } from '#base/errors.ts';
import type { Volume } from './model.ts';

/** As the Engine API takes them: key → accepted values. */
export type Filters = ReadonlyMap<string, readonly string[]>;

type Test = (volume: Volume) => boolean;

/** Whether a volume is to be listed. Rejects with InvalidArgument for a filter that volumes do not have. */
export function listFilter(filters: Filters): (volume: Volume) => boolean {
  const tests = [...filters].map(([key, values]): Test => {
    switch (key) {
      case 'dangling': {
        const wanted = values.map(value => parseFlag('dangling', value));
        return volume => wanted.includes(volume.users.length === 0);
      }
      case 'driver':
        return volume => values.includes(volume.driver);
      case 'label':
        return volume => values.every(value => hasLabel(volume, value));
      case 'name':
        return volume => values.some(value => volume.name.includes(value) || matches(volume.name, value));
      default:
        throw invalidArgument(`invalid filter '${key}'`);
    }
  });
  return volume => !volume.removing && tests.every(test => test(volume));
}

/** Rejects with InvalidArgument. */
export function parseFlag(key: string, value: string): boolean {
  if (/^(1|t|true)$/i.test(value)) return true;
  if (/^(0|f|false)$/i.test(value)) return false;
  throw invalidArgument(`invalid filter '${key}=[${value}]'`);
}

export function hasLabel({ labels }: Volume, value: string): boolean {
  const at = value.indexOf('=');
  const key = at < 0 ? value : value.slice(0, at);
  return key in labels && (at < 0 || labels[key] === value.slice(at + 1));
}

function matches(name: string, expression: string): boolean {
  try {
    return new RegExp(expression).test(name);
  } catch {
    return false;
  }
}

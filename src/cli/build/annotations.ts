import type { Attributes } from '#api/buildkit/messages.ts';
import { ExitError } from '../errors.ts';
import { cut } from '../flags/flag.ts';

const types = ['manifest', 'index', 'manifest-descriptor', 'index-descriptor'];

/** Reads `--annotation [type[[platform]][,type…]:]key=value` as attributes of exporters. */
export function annotationAttributes(given: readonly string[]): Attributes {
  const attributes: Record<string, string> = {};
  for (const text of given) {
    const [written, value] = cut(text);
    if (value === undefined || written === '') throw new ExitError(1, `invalid annotation ${JSON.stringify(text)}, expected key=value`);
    const colon = written.indexOf(':');
    if (colon < 0) attributes[`annotation.${written}`] = value;
    else
      for (const target of written.slice(0, colon).split(','))
        attributes[`annotation${suffixOf(target)}.${written.slice(colon + 1)}`] = value;
  }
  return attributes;
}

function suffixOf(target: string): string {
  const [, type = '', platform] = /^([a-z-]+)(?:\[([A-Za-z0-9_/-]+)\])?$/.exec(target) ?? [];
  if (type === '')
    throw new ExitError(1, `invalid annotation type ${JSON.stringify(target)}, expected type and optional platform in square brackets`);
  if (!types.includes(type)) throw new ExitError(1, `unknown annotation type ${JSON.stringify(type)}: expected one of ${types.join(', ')}`);
  return `-${type}${platform === undefined ? '' : `[${platform}]`}`;
}

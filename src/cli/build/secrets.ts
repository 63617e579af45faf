import { readFileSync, statSync } from 'node:fs';
import { splitCsv } from '#base/csv.ts';
import { messageOf } from '#base/errors.ts';
import { ExitError } from '../errors.ts';
import { cut } from '../flags/flag.ts';

export type SecretSource = { readonly kind: 'file'; readonly path: string } | { readonly kind: 'environment'; readonly name: string };

const largestBytes = 500 * 1024;

/** Reads `--secret id=name[,src=path|env=NAME]`. Without a source it is the variable of that name, or else the file. */
export function parseSecrets(given: readonly string[]): ReadonlyMap<string, SecretSource> {
  const secrets = new Map<string, SecretSource>();
  for (const text of given) {
    const values = new Map(splitCsv(text).map(field => [cut(field)[0].toLowerCase(), cut(field)[1]]));
    const known = ['id', 'type', 'source', 'src', 'env'];
    const unknown = [...values.keys()].find(key => !known.includes(key));
    if (unknown !== undefined) throw new ExitError(1, `unexpected key '${unknown}' in '${text}': expected ${known.join(', ')}`);
    const [id, type = ''] = [values.get('id'), values.get('type')];
    const path = values.get('src') ?? values.get('source');
    const name = values.get('env');
    if (id === undefined || id === '') throw new ExitError(1, `invalid secret ${JSON.stringify(text)}: it needs an id`);
    if (type !== '' && type !== 'file' && type !== 'env')
      throw new ExitError(1, `unsupported secret type ${JSON.stringify(type)}: expected file or env`);
    if (name !== undefined || type === 'env') secrets.set(id, { kind: 'environment', name: name ?? path ?? id });
    else if (path !== undefined || type === 'file' || process.env[id] === undefined)
      secrets.set(id, checkFile({ kind: 'file', path: path ?? id }, id));
    else secrets.set(id, { kind: 'environment', name: id });
  }
  return secrets;
}

function checkFile(source: SecretSource & { kind: 'file' }, id: string): SecretSource {
  try {
    if (statSync(source.path).size > largestBytes) throw new Error(`it is larger than ${largestBytes} bytes`);
    return source;
  } catch (err) {
    throw new ExitError(1, `failed to read secret ${id} from ${source.path}: ${messageOf(err)}`, { cause: err });
  }
}

/** The value, read when it is asked for. */
export function readSecret(source: SecretSource | undefined): Uint8Array | undefined {
  if (source === undefined) return undefined;
  if (source.kind === 'file') return readFileSync(source.path);
  const value = process.env[source.name];
  return value === undefined ? undefined : new TextEncoder().encode(value);
}

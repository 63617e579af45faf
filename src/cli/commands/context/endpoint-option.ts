import { readFileSync } from 'node:fs';
import { messageOf } from '#base/errors.ts';
import { parseHost } from '#client/endpoint.ts';
import type { Cli } from '../../cli.ts';
import { type ContextMeta, ContextStore, type TlsContents } from '../../config/contexts.ts';
import { defaultEndpoint } from '../../config/connect.ts';
import { ExitError } from '../../errors.ts';
import { splitCsv } from '#base/csv.ts';
import { boolType, cut } from '../../flags/flag.ts';

export interface DockerEndpoint {
  readonly endpoint: NonNullable<ContextMeta['Endpoints']['docker']>;
  readonly tls: TlsContents;
}

const tlsKeys = { ca: 'ca.pem', cert: 'cert.pem', key: 'key.pem' } as const;

/** Reads `--docker host=…,ca=…,cert=…,key=…,skip-tls-verify=…` or `from=<context>`. */
export function parseDockerEndpoint(cli: Cli, text: string): DockerEndpoint {
  const fields: Record<string, string> = {};
  for (const field of splitCsv(text)) {
    const [key, value] = cut(field);
    if (value === undefined) throw new ExitError(1, `invalid docker endpoint: ${JSON.stringify(field)} must be a key=value pair`);
    if (!['host', 'ca', 'cert', 'key', 'skip-tls-verify', 'from'].includes(key)) throw new ExitError(1, `unrecognized config key: ${key}`);
    fields[key] = value;
  }
  if (fields.from !== undefined) return copyEndpoint(cli, fields.from);
  const host = fields.host ?? '';
  if (host !== '') parseHost(host);
  const tls: TlsContents = {};
  for (const [key, file] of Object.entries(tlsKeys)) {
    const path = fields[key];
    if (path === undefined) continue;
    try {
      tls[file] = readFileSync(path);
    } catch (err) {
      throw new ExitError(1, `unable to create docker endpoint config: ${messageOf(err)}`, { cause: err });
    }
  }
  return {
    endpoint: { ...(host === '' ? {} : { Host: host }), SkipTLSVerify: boolType.parse(fields['skip-tls-verify'] ?? 'false', false, true) },
    tls,
  };
}

/** What another context says. */
export function copyEndpoint(cli: Cli, name: string): DockerEndpoint {
  if (name === 'default') return { endpoint: { Host: defaultEndpoint(cli).text, SkipTLSVerify: false }, tls: {} };
  const store = new ContextStore(cli);
  return { endpoint: store.read(name).Endpoints.docker ?? {}, tls: store.readTls(name) };
}

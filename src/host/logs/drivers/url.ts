import { invalidArgument } from '#base/errors.ts';

export interface UrlParts {
  readonly scheme: string;
  /** Without the brackets of an IPv6 address. */
  readonly host: string;
  readonly port: number | undefined;
  readonly path: string;
}

/** Parts of `scheme://host:port/path`. Rejects with InvalidArgument. */
export function textOfUrl(text: string): UrlParts {
  const match = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)([^?#]*)/i.exec(text);
  if (match === null) {
    const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1] ?? '';
    return { scheme: scheme.toLowerCase(), host: '', port: undefined, path: text };
  }
  const [, scheme = '', authority = '', path = ''] = match;
  const place = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d*))?$/.exec(authority);
  if (place === null) throw invalidArgument(`parse ${JSON.stringify(text)}: invalid host or port`);
  const port = place[3] === undefined || place[3] === '' ? undefined : Number(place[3]);
  if (port !== undefined && port > 0xffff)
    throw invalidArgument(`invalid port: strconv.ParseUint: parsing "${String(port)}": value out of range`);
  return { scheme: scheme.toLowerCase(), host: place[1] ?? place[2] ?? '', port, path };
}

import type { Nftables } from '#host/sys/nftables.ts';

/** What the kernel has of a table, apart from the numbers it gives things. */
export interface TableState {
  /** Sets, chains and rules, without what the sets hold. The same for the same table, on one machine with one nftables. */
  readonly structure: string;
  readonly sets: ReadonlyMap<string, SetState>;
  readonly hasRules: boolean;
}

export interface SetState {
  /** Elements by a text that is the same however they are written. */
  readonly elements: ReadonlyMap<string, SetElement>;
}

export interface SetElement {
  /** As nft understands it; of a map the key. */
  readonly key: string;
  readonly whole: string;
}

/** Undefined when there is no such table. */
export function readTable(nftables: Nftables, table: string): TableState | undefined {
  let listed: unknown;
  try {
    listed = nftables.list(`list table inet ${table}`);
  } catch {
    return undefined;
  }
  const structure: unknown[] = [];
  const sets = new Map<string, SetState>();
  for (const item of itemsOf(listed)) {
    const [[kind, object] = ['', {}]] = Object.entries(item);
    if (kind === 'metainfo' || !isRecord(object)) continue;
    const { handle: _, elem, ...rest } = object;
    structure.push([kind, rest]);
    if (kind !== 'set' && kind !== 'map') continue;
    const quoted = JSON.stringify(rest.type).includes('ifname');
    const elements = (Array.isArray(elem) ? elem : []).map(one => elementOf(one, quoted));
    sets.set(String(rest.name), { elements: new Map(elements.map(element => [comparable(element.whole), element])) });
  }
  return { structure: JSON.stringify(structure), sets, hasRules: itemsOf(listed).some(item => 'rule' in item) };
}

/** Quotes, the length of whole addresses and whether protocols have names make no difference. */
export const comparable = (element: string): string =>
  element
    .replaceAll('"', '')
    .replace(/\/(32|128)$/, '')
    .replace(/(?<=^| )(tcp|udp|sctp)(?= |$)/g, name => protocolNumber[name] ?? name);

const protocolNumber: Readonly<Record<string, string>> = { tcp: '6', udp: '17', sctp: '132' };

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null;

function itemsOf(listed: unknown): readonly object[] {
  const items = isRecord(listed) ? listed.nftables : undefined;
  return Array.isArray(items) ? items.filter(isRecord) : [];
}

function elementOf(json: unknown, quoted: boolean): SetElement {
  if (!Array.isArray(json)) {
    const text = textOf(json, quoted);
    return { key: text, whole: text };
  }
  const [key, target] = json.map(part => textOf(part, quoted));
  return { key: String(key), whole: `${String(key)} : ${String(target)}` };
}

function textOf(json: unknown, quoted: boolean): string {
  if (typeof json === 'string') return quoted ? `"${json}"` : json;
  if (!isRecord(json)) return String(json);
  if (Array.isArray(json.concat)) return json.concat.map(part => textOf(part, quoted)).join(' . ');
  if (isRecord(json.prefix)) return `${String(json.prefix.addr)}/${String(json.prefix.len)}`;
  if (Array.isArray(json.range)) return json.range.map(part => textOf(part, quoted)).join('-');
  if (isRecord(json.elem)) return textOf(json.elem.val, quoted);
  return JSON.stringify(json);
}

import { shortId } from '#base/id.ts';

/** At most so many columns, the last of which says that there was more. */
export function ellipsis(text: string, most: number): string {
  const letters = [...text];
  if (letters.length <= most) return text;
  return most <= 1 ? letters.slice(0, most).join('') : `${letters.slice(0, most - 1).join('')}…`;
}

/** A Go string literal. */
export const quoteGo = (text: string): string =>
  JSON.stringify(text).replace(/\\u00([01][0-9a-f])|\u007f/g, (all, hex: string | undefined) => {
    if (hex === '07') return '\\a';
    if (hex === '0b') return '\\v';
    return hex === undefined ? '\\x7f' : `\\x${hex}` + all.slice(6);
  });

export const idText = (id: string, truncated: boolean): string => (truncated ? shortId(id) : id);

/** A moment as Go prints it: `2026-11-21 02:42:29 +0000 UTC`, in the zone of this machine. */
export function goTime(milliseconds: number): string {
  const date = new Date(milliseconds);
  const two = (value: number): string => String(value).padStart(2, '0');
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? '-' : '+'}${two(Math.trunc(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone} ${zoneName(date, offset)}`;
}

function zoneName(date: Date, offset: number): string {
  if (offset === 0) return 'UTC';
  const part = new Intl.DateTimeFormat('en-US', { timeZoneName: 'short' }).formatToParts(date).find(({ type }) => type === 'timeZoneName');
  return part === undefined || part.value.includes('GMT')
    ? `${offset < 0 ? '-' : '+'}${String(Math.trunc(Math.abs(offset) / 60)).padStart(2, '0')}`
    : part.value;
}

export const joinLabels = (labels: Readonly<Record<string, string>> | null | undefined): string =>
  Object.entries(labels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .toSorted()
    .join(',');

/** A moment as RFC 3339 in the zone of this machine: `2026-11-21T02:42:25Z`. */
export function goRfc3339(milliseconds: number): string {
  const [day = '', time = '', zone = ''] = goTime(milliseconds).split(' ');
  return `${day}T${time}${zone === '+0000' ? 'Z' : `${zone.slice(0, 3)}:${zone.slice(3)}`}`;
}

/** A moment that the daemon tells in RFC 3339, as Go prints it: with all its digits. */
export function goTimeOf(rfc3339: string): string {
  const parts = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|([+-]\d\d):(\d\d))$/.exec(rfc3339);
  if (parts === null) return rfc3339;
  const fraction = (parts[3] ?? '').replace(/\.?0+$/, '');
  const zone = parts[4] === 'Z' ? '+0000 UTC' : `${parts[5]}${parts[6]} ${parts[5]}${parts[6]}`;
  return `${parts[1]} ${parts[2]}${fraction} ${zone}`;
}

import type { Page } from '../catalog.ts';
import { refusal } from '../refusal.ts';

/** The `n` of a query. Refuses with PAGINATION_NUMBER_INVALID. */
export function countParameter(query: URLSearchParams): number | undefined {
  const text = query.get('n');
  if (text === null) return undefined;
  if (!/^\d{1,9}$/.test(text)) throw refusal('PAGINATION_NUMBER_INVALID', undefined, { detail: { n: text.slice(0, 50) } });
  return Number(text);
}

/** The header that says where the next page is (RFC 8288); none for the last. */
export function nextLink(
  path: string,
  page: Page<string>,
  count: number | undefined,
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  if (page.next === undefined) return {};
  const query = new URLSearchParams({ ...(count !== undefined && { n: String(count) }), last: page.next, ...more });
  return { Link: `<${path}?${query.toString()}>; rel="next"` };
}

export const jsonResponse = (value: unknown, headers: Readonly<Record<string, string>> = {}): Response =>
  new Response(JSON.stringify(value), { headers: { 'Content-Type': 'application/json', ...headers } });

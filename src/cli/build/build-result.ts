import { writeFileSync } from 'node:fs';
import type { Attributes } from '#api/buildkit/messages.ts';

/** The image that a build has come to, by its configuration where that is told; empty when there is none. */
export const imageOf = (response: Attributes): string =>
  response['containerimage.config.digest'] ?? response['containerimage.digest'] ?? '';

/** `--metadata-file`. What is JSON in base64 is written as JSON. */
export function writeMetadata(path: string, response: Attributes): void {
  const entries = Object.entries(response).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const values = Object.fromEntries(entries.map(([name, value]) => [name, decoded(value) ?? value]));
  writeFileSync(path, `${JSON.stringify(values, undefined, 2)}\n`);
}

function decoded(text: string): object | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64').toString('utf8'));
    return typeof value === 'object' && value !== null && Object.keys(value).length > 0 ? value : undefined;
  } catch {
    // A text that happens to look like base64.
    return undefined;
  }
}

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestDaemon } from './daemon.ts';
import { eventually } from './eventually.ts';

/** What images have on disk: blobs, unfinished blobs, layers, layers that are being deleted. */
export function imageTraces(daemon: TestDaemon): string[] {
  const list = (path: string, wanted: (name: string) => boolean = () => true): string[] =>
    readdirSync(join(daemon.dataRoot, path))
      .filter(wanted)
      .map(name => `${path}/${name}`);
  return [
    ...readdirSync(join(daemon.dataRoot, 'content/blobs')).flatMap(algorithm => list(`content/blobs/${algorithm}`)),
    ...list('content/ingest'),
    ...list('content/partial'),
    ...list('layers', name => /^\d+$/.test(name)),
    ...list('layers/trash'),
    ...list('tmp'),
  ].toSorted();
}

/** Waits until images have no more on disk than this. What was removed is deleted in the background. */
export async function expectTraces(daemon: TestDaemon, expected: readonly string[]): Promise<void> {
  await eventually('images leave nothing on disk', () => {
    const more = imageTraces(daemon).filter(path => !expected.includes(path));
    if (more.length > 0) throw new Error(`there is more: ${more.join(' ')}`);
    return true;
  });
}

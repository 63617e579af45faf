import { expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { PositionFile } from './position-file.ts';

test('a shorter text over a longer one of an earlier process is read as it is', () => {
  const folder = mkdtempSync('/tmp/berth-position-');
  try {
    const path = `${folder}/position`;
    const at = (segment: number, offset: number) => ({ stdout: { segment, offset }, stderr: { segment, offset } });
    const before = new PositionFile(path);
    before.save(at(12, 1_000_000), { inode: 123_456, base: -4_000_000 }, true);
    before.close();
    const now = new PositionFile(path);
    now.save(at(1, 0), undefined);
    now.close();
    expect(new PositionFile(path)).toMatchObject({ isDone: false, sink: undefined, position: at(1, 0) });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

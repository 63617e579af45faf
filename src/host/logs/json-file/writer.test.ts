import { expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { SinkState } from '../delivery/sink.ts';
import { JsonFileWriter } from './writer.ts';

test('what was written by a process that died before it could say so is not written again', async () => {
  const folder = mkdtempSync('/tmp/berth-json-');
  try {
    const path = `${folder}/log`;
    writeFileSync(path, 'of an earlier run\n');
    let saved: SinkState | undefined;
    const open = (): JsonFileWriter =>
      new JsonFileWriter({ path, maxBytes: undefined, files: 1, compress: false, attributes: {}, plainNames: new Map() }, saved, state => {
        saved = state;
      });
    const say = async (writer: JsonFileWriter, ...texts: string[]): Promise<void> => {
      for (const text of texts) writer.take('stdout', '2026-01-01T00:00:00.000000000', text, undefined);
      await writer.flush();
    };
    const first = open();
    await say(first, 'one', 'two');
    const next = open();
    await say(next, 'one', 'two', 'three');
    await first.close();
    await next.close();
    const said = readFileSync(path, 'utf8').split('\n').filter(Boolean);
    expect(said.map(line => /"log":"(\w+)/.exec(line)?.[1] ?? line)).toEqual(['of an earlier run', 'one', 'two', 'three']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

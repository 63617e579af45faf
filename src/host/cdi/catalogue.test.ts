import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { silentLogger } from '#base/log.ts';
import { createDeviceCatalogue } from './catalogue.ts';

describe('descriptions of devices', () => {
  let low: string;
  let high: string;
  beforeEach(() => {
    [low, high] = [mkdtempSync(join(tmpdir(), 'berth-cdi-')), mkdtempSync(join(tmpdir(), 'berth-cdi-'))];
  });
  afterEach(() => {
    for (const dir of [low, high]) rmSync(dir, { recursive: true });
  });

  const catalogue = () => createDeviceCatalogue({ dirs: [low, high, '/no/such/folder'], log: silentLogger });
  const describe1 = (value: string, name = 'one'): string =>
    JSON.stringify({
      cdiVersion: '0.5.0',
      kind: 'v/c',
      containerEdits: { env: ['ALL=1'] },
      devices: [{ name, containerEdits: { env: [`IS=${value}`] } }],
    });
  const env = (...names: string[]): string[] =>
    catalogue()
      .resolve(names)
      .edits.flatMap(edits => edits.env);

  test('come from JSON and YAML; those of a file come once', () => {
    writeFileSync(join(low, 'a.json'), describe1('a'));
    writeFileSync(
      join(low, 'b.yaml'),
      'cdiVersion: "0.6.0"\nkind: v/other\ndevices:\n- name: "0"\n  containerEdits:\n    env: ["Y=1"]\n- name: "1"\n  containerEdits:\n    env: ["Z=1"]\ncontainerEdits:\n  env: ["BOTH=1"]\n',
    );
    writeFileSync(join(low, 'ignored.txt'), 'no description');
    expect(catalogue().names()).toEqual(['v/c=one', 'v/other=0', 'v/other=1']);
    expect(env('v/other=0', 'v/c=one', 'v/other=1')).toEqual(['BOTH=1', 'Y=1', 'ALL=1', 'IS=a', 'Z=1']);
    expect(catalogue().resolve(['v/c=one', 'v/c=two']).missing).toEqual(['v/c=two']);
  });

  test('those of a later folder count', () => {
    writeFileSync(join(low, 'a.json'), describe1('low'));
    writeFileSync(join(high, 'a.json'), describe1('high'));
    expect(env('v/c=one')).toEqual(['ALL=1', 'IS=high']);
  });

  test('two of the same rank, and what cannot be read, are nobody’s', () => {
    writeFileSync(join(low, 'a.json'), describe1('a'));
    writeFileSync(join(low, 'b.json'), describe1('b'));
    writeFileSync(join(low, 'c.json'), '{');
    writeFileSync(join(low, 'd.json'), describe1('d', 'other'));
    expect(catalogue().names()).toEqual(['v/c=other']);
  });
});

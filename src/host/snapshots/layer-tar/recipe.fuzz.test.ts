import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'bun:test';
import fc from 'fast-check';
import { damaged, holds, outcomeOf } from '#test/helpers/fuzz.ts';
import { type RecipeStep, readRecipe, RecipeWriter } from './recipe.ts';

const folder = mkdtempSync(join(tmpdir(), 'berth-recipe-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'recipe');

type Piece = { readonly bytes: Uint8Array; readonly file: string | undefined };

/** Writes a recipe for these pieces, which come in one chunk each or all in one. */
function write(pieces: readonly Piece[], inOneChunk: boolean): number | undefined {
  rmSync(path, { force: true });
  const recipe = new RecipeWriter(path);
  const offsets = new Map<string, number>();
  const note = (chunk: Uint8Array, file: string | undefined): void => {
    if (file === undefined || chunk.length === 0) return;
    recipe.content(chunk, file, offsets.get(file) ?? 0);
    offsets.set(file, (offsets.get(file) ?? 0) + chunk.length);
  };
  const whole = Buffer.concat(pieces.map(({ bytes }) => bytes));
  let at = 0;
  if (inOneChunk) recipe.beginChunk(whole);
  for (const { bytes, file } of pieces) {
    const chunk = inOneChunk ? whole.subarray(at, at + bytes.length) : bytes;
    at += bytes.length;
    if (!inOneChunk) recipe.beginChunk(chunk);
    note(chunk, file);
    if (!inOneChunk) recipe.endChunk();
  }
  if (inOneChunk) recipe.endChunk();
  return recipe.finish();
}

function read(): RecipeStep[] {
  const fd = openSync(path, 'r');
  try {
    return [...readRecipe(fd)].map(step => (step.is === 'bytes' ? { ...step, bytes: step.bytes.slice() } : step));
  } finally {
    closeSync(fd);
  }
}

const piece = fc.record({
  bytes: fc.uint8Array({ maxLength: 200 }),
  file: fc.option(fc.constantFrom('a', 'b/c', 'n\udcff'), { nil: undefined }),
});

test('a recipe gives back the tar that it was noted from, however it came in pieces', () => {
  holds(fc.array(piece, { maxLength: 30 }), fc.boolean(), (pieces, inOneChunk) => {
    const files = new Map<string, Uint8Array>();
    for (const { bytes, file } of pieces)
      if (file !== undefined) files.set(file, Buffer.concat([files.get(file) ?? new Uint8Array(0), bytes]));
    const whole = Buffer.concat(pieces.map(({ bytes }) => bytes));
    expect(write(pieces, inOneChunk)).toBe(whole.length);
    const made = read().map(step =>
      step.is === 'bytes' ? step.bytes : (files.get(step.name) ?? new Uint8Array(0)).subarray(step.offset, step.offset + step.length),
    );
    expect(Buffer.compare(Buffer.concat(made), whole)).toBe(0);
  });
}, 600_000);

test('a recipe of any bytes is read or refused', () => {
  holds(fc.oneof(fc.uint8Array({ maxLength: 300 }), damaged(fc.array(piece, { minLength: 1, maxLength: 10 }).map(encode))), bytes => {
    writeFileSync(path, bytes);
    outcomeOf(read, ['DataLoss']);
  });
}, 600_000);

function encode(pieces: readonly Piece[]): Uint8Array {
  write(pieces, true);
  return new Uint8Array(readFileSync(path));
}

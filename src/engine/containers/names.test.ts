import { expect, test } from 'bun:test';
import { parseName, randomName } from './names.ts';

test('parseName() takes a leading slash away and refuses the rest', () => {
  expect(parseName('/web.1_a-b')).toBe('web.1_a-b');
  for (const name of ['a', '-ab', '.ab', 'a b', 'a/b', 'é2'])
    expect(() => parseName(name)).toThrow(`Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
});

test('randomName() is a valid name; in the end the short id', () => {
  const name = randomName(() => false, 'abc');
  expect(name).toMatch(/^[a-z]+_[a-z]+$/);
  expect(parseName(name)).toBe(name);
  const tried: string[] = [];
  expect(
    randomName(taken => {
      tried.push(taken);
      return true;
    }, 'abc123'),
  ).toBe('abc123');
  expect(tried).toHaveLength(6);
  expect(tried[1]).toMatch(/^[a-z]+_[a-z]+\d$/);
});

import { describe, expect, test } from 'bun:test';
import { DetachScanner, parseDetachKeys } from './detach-keys.ts';

test('parseDetachKeys()', () => {
  expect(parseDetachKeys('')).toEqual([16, 17]);
  expect(parseDetachKeys('ctrl-a,d')).toEqual([1, 100]);
  expect(parseDetachKeys('ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_')).toEqual([0, 27, 28, 29, 30, 31]);
  expect(parseDetachKeys('CTRL-Z')).toEqual([26]);
  expect(() => parseDetachKeys('ctrl-1')).toThrow(`Invalid detach keys (ctrl-1) provided: unknown character: 'ctrl-1'`);
  expect(() => parseDetachKeys('a,')).toThrow(`unknown character: ''`);
  expect(() => parseDetachKeys('é')).toThrow('unknown character');
});

describe('DetachScanner', () => {
  const type = (keys: string, ...chunks: string[]): { passed: string; detached: boolean } => {
    const scanner = new DetachScanner(parseDetachKeys(keys));
    let passed = '';
    for (const chunk of chunks) {
      const { pass, detached } = scanner.scan(Buffer.from(chunk, 'latin1'));
      passed += Buffer.from(pass).toString('latin1');
      if (detached) return { passed, detached };
    }
    return { passed, detached: false };
  };

  test('the keys in one piece, in two, in the middle; what comes after is dropped', () => {
    expect(type('', 'ls\n\x10\x11rest')).toEqual({ passed: 'ls\n', detached: true });
    expect(type('', 'a\x10', '\x11')).toEqual({ passed: 'a', detached: true });
    expect(type('a,b,c', 'xa', 'b', 'cx')).toEqual({ passed: 'x', detached: true });
  });

  test('a beginning that goes on otherwise is passed on, in order', () => {
    expect(type('', 'a\x10', 'b')).toEqual({ passed: 'a\x10b', detached: false });
    expect(type('a,b,c', 'abx')).toEqual({ passed: 'abx', detached: false });
    expect(type('a,b,c', 'aabc')).toEqual({ passed: 'a', detached: true });
    expect(type('', '\x10\x10\x11')).toEqual({ passed: '\x10', detached: true });
  });

  test('a sequence that repeats its own beginning is still found', () => {
    expect(type('a,a,b', 'aaab')).toEqual({ passed: 'a', detached: true });
    expect(type('a,b,a,c', 'ababac')).toEqual({ passed: 'ab', detached: true });
  });

  test('text without the first key is passed on as it is', () => {
    const chunk = Buffer.from('hello');
    expect(new DetachScanner([16, 17]).scan(chunk).pass).toBe(chunk);
  });
});

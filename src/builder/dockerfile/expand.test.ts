import { describe, expect, test } from 'bun:test';
import { expand, ExpandError, type ExpandOptions } from './expand.ts';

const variables: Readonly<Record<string, string>> = { HOME: '/root', EMPTY: '', WORDS: 'one  two', STAR: '*', FILE: 'a.b.c' };
const lookup = (name: string): string | undefined => variables[name];
const expanded = (text: string, options?: ExpandOptions): string => expand(text, lookup, options).text;

describe('expand()', () => {
  test.each([
    ['plain', 'plain'],
    ['$HOME/x', '/root/x'],
    ['${HOME}x', '/rootx'],
    ['$UNSET.', '.'],
    ['a$', 'a$'],
    ['$.', '$.'],
    ['$1x', 'x'],
    ['$$HOME', 'HOME'],
    ['\\$HOME', '$HOME'],
    ['\\\\$HOME', '\\/root'],
    ["'$HOME'", '$HOME'],
    ['"$HOME"', '/root'],
    ['"\\$HOME \\" \\n"', '$HOME " \\n'],
    [`"it's" 'say "x"'`, `it's say "x"`],
    ['x\\', 'x'],
    ['${EMPTY:-d} ${EMPTY-d} ${UNSET:-d} ${UNSET-d}', 'd  d d'],
    ['${EMPTY:+s} ${EMPTY+s} ${HOME:+s} ${UNSET+s}', ' s s '],
    ['${UNSET:-${UNSET:-$HOME}}', '/root'],
    ['${HOME:?} ${EMPTY?}', '/root '],
    ['${FILE#*.} ${FILE##*.} ${FILE%.*} ${FILE%%.*}', 'b.c c a.b a'],
    ['${FILE#x} ${FILE%x} ${FILE#} ${FILE%}', 'a.b.c a.b.c a.b.c a.b.c'],
    ['${FILE/./-} ${FILE//./-} ${FILE/b/} ${FILE//?/x}', 'a-b.c a-b-c a..c xxxxx'],
    ['${STAR#\\*}${STAR/\\*/s}', 's'],
    ['${UNSET#a}${UNSET/a/b}', ''],
    ['a<b <<EOF', 'a<b <<EOF'],
  ])('%s', (text, result) => {
    expect(expanded(text)).toBe(result);
  });

  test.each([
    ['${', "syntax error: missing '}'"],
    ['${HOME', "syntax error: missing '}'"],
    ['${}', 'syntax error: bad substitution'],
    ['${:-x}', 'syntax error: bad substitution'],
    ['${HOME:x}', 'unsupported modifier (:x) in substitution'],
    ['${HOME:#x}', 'unsupported modifier (:#) in substitution'],
    ['${HOME!x}', 'unsupported modifier (!) in substitution'],
    ['${HOME/x}', "syntax error: missing '/' in ${}"],
    ['${HOME/x/y', "syntax error: missing '}'"],
    ['${HOME:-x', "syntax error: missing '}'"],
    ['${HOME#\\x}', "invalid pattern (\\x) in substitution: invalid escape '\\x'"],
    ['${UNSET:?say it}', 'UNSET: say it'],
    ['${UNSET?}', 'UNSET: is not allowed to be unset'],
    ['${EMPTY:?}', 'EMPTY: is not allowed to be empty'],
    ["'x", 'unexpected end of statement while looking for matching single-quote'],
    ['"x', 'unexpected end of statement while looking for matching double-quote'],
  ])('%s is refused', (text, reason) => {
    expect(() => expanded(text)).toThrow(new ExpandError(`failed to process ${JSON.stringify(text)}: ${reason}`));
  });

  test.each([
    ['a b', ['a', 'b']],
    ['  a\t b ', ['a', 'b']],
    ['$WORDS', ['one', 'two']],
    ['"$WORDS"', ['one  two']],
    ['x$WORDS"y z"', ['xone', 'twoy z']],
    ['a\\ b', ['a b']],
    ['$UNSET', []],
  ])('the words of %s', (text, words) => {
    expect(expand(text, lookup).words).toEqual(words);
  });

  test('another escape character', () => {
    expect(expanded('C:\\dir `$HOME', { escape: '`' })).toBe('C:\\dir $HOME');
  });

  test('quotes, escapes and unset variables stay when they are asked to', () => {
    const options = { keepQuotes: true, keepEscapes: true, keepUnset: true };
    const text = `"a" 'b' \\c $UNSET \${UNSET} \${UNSET:-x} \${UNSET#x} \${UNSET/x/y}`;
    expect(expanded(text, options)).toBe(text);
    expect(expanded(`"$HOME"`, options)).toBe('"/root"');
  });

  test('quotes mean nothing in documents', () => {
    expect(expanded(`it's "$HOME`, { ignoreQuotes: true })).toBe(`it's "/root`);
  });

  test('what was looked up', () => {
    const { matched, unmatched } = expand('$HOME ${UNSET:-$OTHER}', lookup);
    expect([...matched]).toEqual(['HOME']);
    expect([...unmatched].sort()).toEqual(['OTHER', 'UNSET']);
  });
});

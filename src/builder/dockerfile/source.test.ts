import { expect, test } from 'bun:test';
import { parseDockerfile } from './parse.ts';
import { DockerfileError, formatExcerpt } from './source.ts';

const source = { name: 'Dockerfile', text: ['one', '\ttwo three', 'four', 'five', 'six', 'seven', ''].join('\n') };
const place = (startLine: number, startColumn: number, endLine: number, endColumn: number) => ({
  start: { line: startLine, column: startColumn },
  end: { line: endLine, column: endColumn },
});

test('formatExcerpt() marks the lines of a range between their neighbours', () => {
  expect(formatExcerpt(source, place(3, 1, 4, 5))).toBe(
    [
      'Dockerfile:3',
      '--------------------',
      '   2 |     \ttwo three',
      '   3 | >>> four',
      '   4 | >>> five',
      '   5 |     six',
      '--------------------',
      '',
    ].join('\n'),
  );
});

test('formatExcerpt() underlines a part of a line and names its column', () => {
  expect(formatExcerpt(source, place(2, 6, 2, 11))).toBe(
    [
      'Dockerfile:2:6',
      '--------------------',
      '   1 |     one',
      '   2 | >>> \ttwo three',
      '     |     \t    ^^^^^',
      '   3 |     four',
      '   4 |     five',
      '--------------------',
      '',
    ].join('\n'),
  );
});

test('formatExcerpt() of a place that is not there is empty', () => {
  expect(formatExcerpt(source, place(9, 1, 9, 2))).toBe('');
});

test('an error shows its line, also of a file with carriage returns and a continued statement', () => {
  let error: unknown;
  try {
    parseDockerfile('FROM a\r\nENV a=b \\\r\n    c\r\n', { name: 'dir/Other' });
  } catch (err) {
    error = err;
  }
  if (!(error instanceof DockerfileError)) throw new Error('nothing was thrown');
  expect(error.kind).toBe('InvalidArgument');
  expect(error.range).toEqual(place(3, 5, 3, 6));
  expect(error.message).toBe(`dockerfile parse error on line 2: ${error.reason}`);
  expect(error.excerpt().split('\n')).toContain('   3 | >>>     c');
  expect(error.excerpt()).toStartWith('dir/Other:3\n');
});

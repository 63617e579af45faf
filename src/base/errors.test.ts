import { expect, test } from 'bun:test';
import { canceled, conflict, kindOf, messageOf, notFound } from './errors.ts';

test('kindOf() finds the kind through a cause', () => {
  expect(kindOf(new Error('outer', { cause: notFound('inner') }))).toBe('NotFound');
});

test('kindOf() reports what was being cleaned up after, not the failed cleanup', () => {
  const err = new SuppressedError(new Error('cleanup failed'), conflict('the reason'), 'both');
  expect(kindOf(err)).toBe('Conflict');
  expect(messageOf(err)).toBe('the reason');
});

test('kindOf() treats aborts and timeouts as kinds', () => {
  expect(kindOf(new DOMException('stop', 'AbortError'))).toBe('Canceled');
  expect(kindOf(new DOMException('late', 'TimeoutError'))).toBe('DeadlineExceeded');
  expect(kindOf(canceled('x'))).toBe('Canceled');
});

test('kindOf() of something unknown is Internal', () => {
  expect(kindOf('text')).toBe('Internal');
  expect(messageOf('text')).toBe('text');
});

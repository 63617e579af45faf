import { expect, test } from 'bun:test';
import { SystemError } from './libc.ts';

test('a failed system call says why in the words that people search for', () => {
  const err = new SystemError('mkdirat', 28, '/data');
  expect(err.message).toBe('ENOSPC: no space left on device, mkdirat /data');
  expect(err).toMatchObject({ code: 'ENOSPC', errno: 28, syscall: 'mkdirat' });
  expect(new SystemError('open', 5).message).toBe('EIO: input/output error, open');
});

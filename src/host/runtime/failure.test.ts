import { expect, test } from 'bun:test';
import { describeFailure, lastLoggedError } from './failure.ts';

const created = 'failed to create task for container: failed to create shim task: OCI runtime create failed: ';

test.each([
  [
    'executable file `foo` not found in $PATH: No such file or directory',
    'unable to start container process: exec: "foo": executable file not found in $PATH: unknown',
  ],
  [
    'executable file `/foo` not found in $PATH: No such file or directory',
    'unable to start container process: exec: "/foo": stat /foo: no such file or directory: unknown',
  ],
  ['open executable: Permission denied', 'unable to start container process: exec: "foo": permission denied: unknown'],
  ['open executable: Operation not permitted', 'unable to start container process: exec: "foo": is a directory: unknown'],
  [
    'runc create failed: unable to start container process: exec: "foo": executable file not found in $PATH',
    'unable to start container process: exec: "foo": executable file not found in $PATH: unknown',
  ],
])('describeFailure() makes of %p what clients look for', (words, expected) => {
  expect(describeFailure('create', 'crun', words, 'foo')).toBe(`${created}runc create failed: ${expected}`);
  expect(describeFailure('exec', 'crun', words, 'foo')).toBe(`OCI runtime exec failed: exec failed: ${expected}`);
});

test('describeFailure() passes on what it does not know, naming the runtime', () => {
  expect(describeFailure('create', 'crun', 'mount `a` to `b`: Permission denied', 'foo')).toBe(
    `${created}crun create failed: mount \`a\` to \`b\`: permission denied: unknown`,
  );
  expect(describeFailure('create', 'kata', '', 'foo')).toBe(`${created}kata create failed: the runtime gave no reason: unknown`);
});

test('lastLoggedError() takes the last error and passes over other lines', () => {
  const log = '{"msg":"one","level":"error"}\nnot json\n{"msg":"a warning","level":"warning"}\n{"msg":"two","level":"error"}\n{"msg":"to';
  expect(lastLoggedError(log)).toBe('two');
  expect(lastLoggedError('')).toBeUndefined();
});

import { expect, test } from 'bun:test';
import { kindOf } from '#base/errors.ts';
import { encodeMessage, Message } from './protobuf.ts';
import { readTrace } from './trace.ts';

test('what is encoded is read again', () => {
  const inner = encodeMessage([
    [1, 'x'],
    [2, 300],
  ]);
  const message = new Message(
    encodeMessage([
      [1, 'größe'],
      [2, 0],
      [3, 2 ** 40],
      [4, inner],
      [4, encodeMessage([[1, 'y']])],
      [15, new Uint8Array([0, 255])],
      [200, -1n],
    ]),
  );
  expect([message.text(1), message.number(2), message.number(3), message.number(200)]).toEqual(['größe', 0, 2 ** 40, -1]);
  expect(message.messages(4).map(part => [part.text(1), part.number(2)])).toEqual([
    ['x', 300],
    ['y', 0],
  ]);
  expect(message.bytes(15)).toEqual(new Uint8Array([0, 255]));
  expect([message.has(2), message.has(4), message.text(9)]).toEqual([false, true, '']);
});

test('fields of other kinds are passed over', () => {
  const message = new Message(Uint8Array.from([0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x15, 1, 2, 3, 4, 0x18, 5]));
  expect(message.number(3)).toBe(5);
});

test.each([[[0x08]], [[0x0a, 5, 1]], [[0x0b]], [[0xff, 0xff]]])('%p is no message', bytes => {
  let kind: string | undefined;
  try {
    new Message(Uint8Array.from(bytes));
  } catch (err) {
    kind = kindOf(err);
  }
  expect(kind).toBe('DataLoss');
});

test('readTrace() reads vertexes with times, logs and what is under way', () => {
  const time = encodeMessage([
    [1, 1_700_000_000],
    [2, 500_000_000],
  ]);
  const bytes = encodeMessage([
    [
      1,
      encodeMessage([
        [1, 'sha256:a'],
        [3, 'RUN x'],
        [4, 1],
        [5, time],
        [7, 'oh'],
      ]),
    ],
    [
      2,
      encodeMessage([
        [1, 'part'],
        [2, 'sha256:a'],
        [4, 5],
        [5, 10],
        [7, time],
        [8, time],
      ]),
    ],
    [
      3,
      encodeMessage([
        [1, 'sha256:a'],
        [2, time],
        [3, 2],
        [4, 'text'],
      ]),
    ],
  ]);
  const trace = readTrace(new Message(bytes));
  expect(trace.vertexes).toEqual([
    { id: 'sha256:a', name: 'RUN x', isCached: true, startedMs: 1_700_000_000_500, completedMs: undefined, error: 'oh' },
  ]);
  expect(trace.statuses).toMatchObject([{ id: 'part', current: 5, total: 10, completedMs: 1_700_000_000_500 }]);
  expect(trace.logs).toMatchObject([{ stream: 2, timeMs: 1_700_000_000_500 }]);
});

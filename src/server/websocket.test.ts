import { expect, test } from 'bun:test';
import { acceptKey, closeFrame, dataFrame, readFrames } from './websocket.ts';

/** A client's frame: masked. */
function masked(opcode: number, payload: string | Uint8Array, { fin = true } = {}): Buffer {
  const data = Buffer.from(payload);
  const mask = Buffer.from([1, 2, 3, 4]);
  const size = data.length < 126 ? [0x80 | data.length] : [0x80 | 126, data.length >> 8, data.length & 0xff];
  return Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | opcode, ...size]), mask, data.map((byte, i) => byte ^ (mask[i & 3] ?? 0))]);
}

async function read(chunks: readonly Uint8Array[]): Promise<{ data: string; replies: Uint8Array[] }> {
  const replies: Uint8Array[] = [];
  const parts: Uint8Array[] = [];
  const source = (async function* () {
    await Promise.resolve();
    yield* chunks;
  })();
  for await (const part of readFrames(source, frame => void replies.push(frame))) parts.push(part);
  return { data: Buffer.concat(parts).toString(), replies };
}

test('the answer to a key is the one of RFC 6455, 1.3', () => {
  const headers = { upgrade: 'websocket', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'sec-websocket-version': '13' };
  expect(acceptKey(headers)).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  expect(() => acceptKey({ ...headers, 'sec-websocket-version': '8' })).toThrow('unsupported websocket version "8"');
  expect(() => acceptKey({ upgrade: 'tcp' })).toThrow('not a websocket request');
});

test('frames are read however they are cut', async () => {
  const long = 'x'.repeat(300);
  const bytes = Buffer.concat([masked(1, 'hel', { fin: false }), masked(9, 'ping'), masked(0, 'lo '), masked(2, long), masked(2, '')]);
  for (const step of [1, 3, 7, 1000]) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / step) }, (_, i) => bytes.subarray(i * step, (i + 1) * step));
    const { data, replies } = await read(chunks);
    expect(data).toBe(`hello ${long}`);
    expect(replies.map(frame => Buffer.from(frame).toString('latin1'))).toEqual(['\x8a\x04ping']);
  }
});

test('a close frame ends the input and is answered', async () => {
  const { data, replies } = await read([masked(2, 'last'), masked(8, Buffer.from([3, 0xe8])), masked(2, 'too late')]);
  expect(data).toBe('last');
  expect(replies).toEqual([Buffer.from(closeFrame())]);
});

test('what is no frame of a client is refused', async () => {
  for (const bytes of [dataFrame('binary', Buffer.from('unmasked')), Buffer.from('GET / HTTP/1.1\r\n\r\n'), masked(9, 'x'.repeat(200))])
    expect(await read([bytes]).catch(String)).toContain('invalid websocket frame');
});

test('output frames say their size in 1, 2 or 8 bytes', () => {
  expect([...dataFrame('text', Buffer.from('a'))]).toEqual([0x81, 1, 97]);
  expect([...dataFrame('binary', new Uint8Array(300)).subarray(0, 4)]).toEqual([0x82, 126, 1, 44]);
  expect([...dataFrame('binary', new Uint8Array(70_000)).subarray(0, 10)]).toEqual([0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
});

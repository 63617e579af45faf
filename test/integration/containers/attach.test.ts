import { expect } from 'bun:test';
import { create, inspect, logsOf, remove, sharedDaemon, sh, start, waitForExit } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');
const interactive = { OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true, AttachStderr: true };

describe('attach', () => {
  const daemon = sharedDaemon();

  test('before start: nothing is missed, input reaches the process, its end too', async () => {
    const id = await create(daemon(), sh('cat; echo done; echo err >&2', interactive));
    using connection = await daemon().api.hijack(`/containers/${id}/attach?stream=1&stdin=1&stdout=1&stderr=1`);
    expect(connection.status).toBe(101);
    expect(connection.head).toMatch(/Upgrade: tcp/i);
    await daemon().api.expect('POST', `/containers/${id}/start`);
    connection.write('one\ntwo\n');
    connection.end();
    await connection.closed;
    expect(connection.streams()).toEqual({ stdout: 'one\ntwo\ndone\n', stderr: 'err\n' });
    expect(await waitForExit(daemon(), id)).toBe(0);
    await remove(daemon(), id);
  });

  test('without an upgrade the answer is 200 and raw', async () => {
    const id = await start(daemon(), sh('echo here; sleep 0.3'));
    const response = await daemon().api.open('POST', `/containers/${id}/attach?stream=1&stdout=1&logs=1`);
    expect(response.status).toBe(200);
    await response.arrayBuffer();
    await remove(daemon(), id);
  });

  test('a terminal: echo, resize, end', async () => {
    const id = await create(daemon(), { Cmd: ['sh'], Tty: true, ...interactive });
    using connection = await daemon().api.hijack(`/containers/${id}/attach?stream=1&stdin=1&stdout=1`);
    await daemon().api.expect('POST', `/containers/${id}/start`);
    await eventually('a prompt', () => connection.raw().toString().includes('#'));
    await daemon().api.expect('POST', `/containers/${id}/resize?h=22&w=77`);
    connection.write('stty size\n');
    await eventually('the size', () => connection.raw().toString().includes('22 77'));
    connection.write('exit 8\n');
    await connection.closed;
    expect(await waitForExit(daemon(), id)).toBe(8);
    await remove(daemon(), id);
  });

  test('detach keys leave the container running, and another client can attach', async () => {
    const id = await create(daemon(), { Cmd: ['cat'], Tty: true, OpenStdin: true });
    using first = await daemon().api.hijack(`/containers/${id}/attach?stream=1&stdin=1&stdout=1&detachKeys=ctrl-x,x`);
    await daemon().api.expect('POST', `/containers/${id}/start`);
    first.write('\u0018x');
    await first.closed;
    expect((await inspect(daemon(), id)).State.Running).toBe(true);
    using second = await daemon().api.hijack(`/containers/${id}/attach?stream=1&stdin=1&stdout=1`);
    second.write('again\n');
    await eventually('cat answers', () => second.raw().toString().split('again').length > 2);
    await remove(daemon(), id);
  });

  test('several clients each get everything, in order', async () => {
    const id = await create(daemon(), sh('i=0; while [ $i -lt 3000 ]; do echo "line number $i"; i=$((i+1)); done'));
    const clients = await Promise.all([1, 2, 3].map(() => daemon().api.hijack(`/containers/${id}/attach?stream=1&stdout=1&stderr=1`)));
    await daemon().api.expect('POST', `/containers/${id}/start`);
    const expected = Array.from({ length: 3000 }, (_, i) => `line number ${String(i)}\n`).join('');
    for (const client of clients) {
      await client.closed;
      expect(client.streams().stdout).toBe(expected);
      client[Symbol.dispose]();
    }
    await remove(daemon(), id);
  });

  test('a client that does not read may fall a megabyte behind before all wait for it; nobody loses anything', async () => {
    const id = await create(daemon(), sh('seq 1 1000000'));
    using slow = await daemon().api.hijack(`/containers/${id}/attach?stream=1&stdout=1`);
    slow.pause();
    using quick = await daemon().api.hijack(`/containers/${id}/attach?stream=1&stdout=1`);
    await daemon().api.expect('POST', `/containers/${id}/start`);
    await eventually('some of it arrived', () => quick.raw().length > 1_000_000, { timeoutMs: 20_000 });
    slow.resume();
    await Promise.all([slow.closed, quick.closed]);
    for (const client of [slow, quick]) {
      const lines = client.streams().stdout.trimEnd().split('\n');
      expect(lines.length).toBe(1_000_000);
      expect(lines.findIndex((line, i) => line !== String(i + 1))).toBe(-1);
    }
    await remove(daemon(), id);
  });

  test('logs=1 gives what was said before', async () => {
    const id = await start(daemon(), sh('echo before; while [ ! -e /go ]; do sleep 0.05; done; echo after'));
    await eventually('the first line', async () => (await logsOf(daemon(), id)).stdout === 'before\n');
    using connection = await daemon().api.hijack(`/containers/${id}/attach?logs=1&stream=1&stdout=1`);
    const { Id } = await daemon().api.expect<{ Id: string }>('POST', `/containers/${id}/exec`, { body: { Cmd: ['touch', '/go'] } });
    await daemon().api.expect('POST', `/exec/${Id}/start`, { body: { Detach: true } });
    await connection.closed;
    expect(connection.streams().stdout).toBe('before\nafter\n');
    await remove(daemon(), id);
  });

  test('an unknown container is 404, a bad detach key 400', async () => {
    expect((await daemon().api.post('/containers/unknown/attach?stream=1')).status).toBe(404);
    const id = await create(daemon(), { Cmd: ['cat'], Tty: true });
    expect((await daemon().api.post(`/containers/${id}/attach?stream=1&detachKeys=ctrl-`)).status).toBe(400);
    await remove(daemon(), id);
  });
});

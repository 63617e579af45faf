import { expect } from 'bun:test';
import { create, logsOf, remove, sharedDaemon, sh, start, waitForExit } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { splitFrames } from '#test/helpers/http.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

describe('logs', () => {
  const daemon = sharedDaemon();

  test('both streams, one, none', async () => {
    const id = await start(daemon(), sh('echo a; echo b >&2; echo c'));
    await waitForExit(daemon(), id);
    expect(await logsOf(daemon(), id)).toEqual({ stdout: 'a\nc\n', stderr: 'b\n' });
    const only = await daemon().api.open('GET', `/containers/${id}/logs?stderr=1`);
    expect(splitFrames(new Uint8Array(await only.arrayBuffer()))).toEqual({ stdout: '', stderr: 'b\n' });
    const none = await daemon().api.get<{ message: string }>(`/containers/${id}/logs`);
    expect(none.status).toBe(400);
    expect(none.json.message).toContain('you must choose at least one stream');
    await remove(daemon(), id);
  });

  test('tail, since, until, timestamps', async () => {
    const id = await start(daemon(), sh('for i in 1 2 3; do echo $i; sleep 0.2; done'));
    await waitForExit(daemon(), id);
    expect((await logsOf(daemon(), id, '&tail=2')).stdout).toBe('2\n3\n');
    expect((await logsOf(daemon(), id, '&tail=0')).stdout).toBe('');
    expect((await logsOf(daemon(), id, '&tail=all')).stdout).toBe('1\n2\n3\n');
    const lines = (await logsOf(daemon(), id, '&timestamps=1')).stdout.trim().split('\n');
    const times = lines.map(line => line.split(' ')[0] ?? '');
    expect(times).toEqual(times.toSorted());
    for (const time of times) expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
    const second = unixTime(times[1] ?? '');
    expect((await logsOf(daemon(), id, `&since=${second}`)).stdout).toBe('2\n3\n');
    expect((await logsOf(daemon(), id, `&until=${second}`)).stdout).toBe('1\n2\n');
    await remove(daemon(), id);
  });

  test('follow shows lines as they come and ends with the container', async () => {
    const id = await start(daemon(), sh('echo first; while [ ! -e /go ]; do sleep 0.05; done; echo last'));
    const response = await daemon().api.open('GET', `/containers/${id}/logs?follow=1&stdout=1`);
    const chunks: Uint8Array[] = [];
    const finished = (async () => {
      for await (const chunk of response.body ?? []) chunks.push(chunk);
    })();
    const seen = (): string => splitFrames(Buffer.concat(chunks)).stdout;
    await eventually('the first line', () => seen() === 'first\n');
    const { Id } = await daemon().api.expect<{ Id: string }>('POST', `/containers/${id}/exec`, { body: { Cmd: ['touch', '/go'] } });
    await daemon().api.expect('POST', `/exec/${Id}/start`, { body: { Detach: true } });
    await finished;
    expect(seen()).toBe('first\nlast\n');
    await remove(daemon(), id);
  });

  test('long lines, lines without an end, bytes that are not text', async () => {
    const id = await start(daemon(), sh(`head -c 100000 /dev/zero | tr '\\0' x; echo; printf 'no end'`));
    await waitForExit(daemon(), id);
    expect((await logsOf(daemon(), id)).stdout).toBe(`${'x'.repeat(100_000)}\nno end`);
    await remove(daemon(), id);
  });

  test('a terminal’s log is one plain stream', async () => {
    const id = await start(daemon(), sh('echo a; echo b >&2', { Tty: true }));
    await waitForExit(daemon(), id);
    expect((await daemon().api.get(`/containers/${id}/logs?stdout=1&stderr=1`)).text).toBe('a\r\nb\r\n');
    await remove(daemon(), id);
  });

  test('output is complete when wait returns, also much of it', async () => {
    const id = await start(daemon(), sh('i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i+1)); done'));
    await waitForExit(daemon(), id);
    const lines = (await logsOf(daemon(), id)).stdout.split('\n');
    expect(lines.length).toBe(20001);
    expect(lines[19999]).toBe('line 19999');
    await remove(daemon(), id);
  });

  test('log driver none keeps nothing; an unknown driver is refused', async () => {
    const id = await start(daemon(), sh('echo gone', { HostConfig: { LogConfig: { Type: 'none' } } }));
    await waitForExit(daemon(), id);
    expect((await daemon().api.get(`/containers/${id}/logs?stdout=1`)).status).toBe(501);
    await remove(daemon(), id);
    const refused = await daemon().api.post('/containers/create', { Image: 'busybox', HostConfig: { LogConfig: { Type: 'nonsense' } } });
    if (refused.status === 201) {
      const { Id } = refused.json as { Id: string };
      expect((await daemon().api.post(`/containers/${Id}/start`)).status).toBeGreaterThanOrEqual(400);
      await remove(daemon(), Id);
    } else expect(refused.status).toBe(400);
  });

  test('a container that never ran has an empty log', async () => {
    const id = await create(daemon(), sh('true'));
    expect(await logsOf(daemon(), id)).toEqual({ stdout: '', stderr: '' });
    await remove(daemon(), id);
  });
});

/** `seconds.nanoseconds` of a time with nine digits. */
const unixTime = (time: string): string => `${String(Math.floor(Date.parse(time) / 1000))}.${time.slice(20, 29)}`;

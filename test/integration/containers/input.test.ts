import { expect } from 'bun:test';
import { create, inspect, remove, sharedDaemon, sh, start, waiting, waitForExit } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');
const attachQuery = 'stream=1&stdin=1&stdout=1&stderr=1';

/** Text that shows a lost, doubled or swapped piece. */
const numbered = (bytes: number): string =>
  Array.from({ length: Math.ceil(bytes / 10) }, (_, line) => String(line).padStart(9, '0'))
    .join('\n')
    .slice(0, bytes);

describe('input', () => {
  const daemon = sharedDaemon();
  const big = numbered(5_000_000);
  const digest = new Bun.CryptoHasher('md5').update(big).digest('hex');

  const makeExec = async (id: string, body: object): Promise<string> => {
    const { Id } = await daemon().api.expect<{ Id: string }>('POST', `/containers/${id}/exec`, {
      body: { AttachStdin: true, AttachStdout: true, AttachStderr: true, ...body },
    });
    return Id;
  };

  test('five megabytes arrive whole, at a container and back', async () => {
    const id = await create(daemon(), sh('cat', { OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true }));
    using connection = await daemon().api.hijack(`/containers/${id}/attach?${attachQuery}`);
    await daemon().api.expect('POST', `/containers/${id}/start`);
    connection.write(big);
    connection.end();
    await connection.closed;
    expect(connection.streams().stdout === big).toBe(true);
    expect(await waitForExit(daemon(), id)).toBe(0);
    await remove(daemon(), id);
  });

  test('five megabytes arrive whole at an exec that reads slowly', async () => {
    const id = await start(daemon(), waiting());
    const exec = await makeExec(id, { Cmd: ['sh', '-c', 'sleep 0.3; md5sum'] });
    using connection = await daemon().api.hijack(`/exec/${exec}/start`, {});
    connection.write(big);
    connection.end();
    await connection.closed;
    expect(connection.streams().stdout).toBe(`${digest}  -\n`);
    await remove(daemon(), id);
  });

  test('without StdinOnce a client that ends its input leaves it open for the next', async () => {
    const id = await create(daemon(), sh('while read line; do echo "got $line"; done; echo end', { OpenStdin: true }));
    using first = await daemon().api.hijack(`/containers/${id}/attach?${attachQuery}`);
    await daemon().api.expect('POST', `/containers/${id}/start`);
    first.write('one\n');
    await eventually('an answer', () => first.streams().stdout === 'got one\n');
    first.end();
    await first.closed;
    using second = await daemon().api.hijack(`/containers/${id}/attach?${attachQuery}`);
    second.write('two\n');
    await eventually('an answer', () => second.streams().stdout === 'got two\n');
    expect((await inspect(daemon(), id)).State.Running).toBe(true);
    await remove(daemon(), id);
  });

  test('detach keys of an exec: the default ones, its own', async () => {
    const id = await start(daemon(), waiting());
    const cases = [
      { own: '', typed: '\u0010\u0011' },
      { own: 'ctrl-a,d', typed: '\u0001d' },
    ];
    for (const { own, typed } of cases) {
      const exec = await makeExec(id, { Cmd: ['cat'], Tty: true, DetachKeys: own });
      using connection = await daemon().api.hijack(`/exec/${exec}/start`, { Tty: true });
      connection.write('hello\n');
      await eventually('cat answers', () => connection.raw().toString().split('hello').length > 2);
      connection.write(typed);
      await connection.closed;
      expect((await daemon().api.expect<{ Running: boolean }>('GET', `/exec/${exec}/json`)).Running).toBe(true);
    }
    await remove(daemon(), id);
  });

  test('an exec’s terminal is resized', async () => {
    const id = await start(daemon(), waiting());
    const exec = await makeExec(id, { Cmd: ['sh'], Tty: true, ConsoleSize: [10, 20] });
    using connection = await daemon().api.hijack(`/exec/${exec}/start`, { Tty: true, ConsoleSize: [10, 20] });
    connection.write('stty size\n');
    await eventually('the first size', () => connection.raw().toString().includes('10 20'));
    await daemon().api.expect('POST', `/exec/${exec}/resize?h=33&w=44`);
    connection.write('stty size\n');
    await eventually('the new size', () => connection.raw().toString().includes('33 44'));
    connection.write('exit\n');
    await connection.closed;
    await remove(daemon(), id);
  });
});

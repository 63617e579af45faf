import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { kindOf, messageOf } from '#base/errors.ts';
import { noProxies } from '#host/registry/proxies.ts';
import { createFetchUrl, openUrl, withoutPassword } from './download.ts';

const signal = new AbortController().signal;
const open = (url: string): ReturnType<typeof openUrl> => openUrl(createFetchUrl(noProxies), url, signal);
const failure = async (url: string): Promise<string> =>
  await open(url).then(
    () => 'no failure',
    (err: unknown) => `${kindOf(err)}: ${messageOf(err)}`,
  );

describe('a file on the web', () => {
  const asked: { host: string; path: string; authorization: string | null }[] = [];
  let near: Bun.Server<undefined>;
  let far: Bun.Server<undefined>;
  beforeAll(() => {
    const serve = (): Bun.Server<undefined> =>
      Bun.serve({
        port: 0,
        hostname: '127.0.0.1',
        fetch(request) {
          const { pathname } = new URL(request.url);
          asked.push({ host: request.headers.get('host') ?? '', path: pathname, authorization: request.headers.get('authorization') });
          const to = (location: string): Response => new Response(null, { status: 302, headers: { Location: location } });
          if (pathname === '/near') return to('/file');
          if (pathname === '/far') return to(`http://127.0.0.1:${String(far.port)}/file`);
          if (pathname === '/loop') return to('/loop');
          if (pathname === '/local') return to('file:///etc/passwd');
          return pathname === '/file' ? new Response('content') : new Response('no', { status: 404 });
        },
      });
    [near, far] = [serve(), serve()];
  });
  afterAll(async () => {
    await near.stop(true);
    await far.stop(true);
  });
  const address = (path: string): string => `http://ann:p%40ss@127.0.0.1:${String(near.port)}${path}`;
  const basic = `Basic ${btoa('ann:p@ss')}`;

  test('is asked for with the credentials of its address, on the way to the same host too, and nowhere else', async () => {
    const file = await open(address('/near'));
    expect(await new Response(file.bytes as ReadableStream<Uint8Array>).text()).toBe('content');
    expect([file.name, file.sizeBytes]).toEqual([`http://127.0.0.1:${String(near.port)}/near`, 7]);
    expect(asked.map(({ path, authorization }) => [path, authorization])).toEqual([
      ['/near', basic],
      ['/file', basic],
    ]);
    asked.length = 0;
    await open(address('/far'));
    expect(asked.map(({ host, authorization }) => [host, authorization])).toEqual([
      [`127.0.0.1:${String(near.port)}`, basic],
      [`127.0.0.1:${String(far.port)}`, null],
    ]);
  });

  test('cannot be had: nobody is told the password', async () => {
    expect(await failure(address('/none'))).toBe(
      `InvalidArgument: cannot download http://127.0.0.1:${String(near.port)}/none: the server answered 404 Not Found`,
    );
    expect(await failure(address('/loop'))).toContain('stopped after 10 redirects');
    expect(await failure(address('/local'))).toContain('unsupported protocol scheme "file"');
    for (const url of [address('/none'), address('/loop'), address('/local'), 'http://ann:p%40ss@127.0.0.1:1/', 'ftp://ann:p%40ss@host/x'])
      expect(await failure(url)).not.toMatch(/p%40ss|p@ss|no failure/);
    expect(await failure('http://ann:secret@host:port/')).toBe(
      'InvalidArgument: cannot download http://host:port/: it is no address such as https://example.com/file',
    );
  });
});

test('an address is shown without what lets somebody in', () => {
  expect(withoutPassword('https://ann:secret@example.com/a?b=c')).toBe('https://example.com/a?b=c');
  expect(withoutPassword('ann:secret@example.com/a')).toBe('example.com/a');
  expect(withoutPassword('https://ann:sec/ret@example.com/a')).not.toContain('secret@');
});

import { statSync } from 'node:fs';
import { expect, test } from 'bun:test';
import { conflict, internal, messageOf, notFound, notModified } from '#base/errors.ts';
import { Wire, request, serve } from './testing/fakes.ts';

test('every answer says who serves which API', async () => {
  await using server = await serve();
  for (const path of ['/_ping', '/nowhere', '/v1.99/_ping']) {
    const { headers } = await request(server, 'GET', path);
    expect(Object.fromEntries(['server', 'api-version', 'ostype', 'docker-experimental'].map(name => [name, headers.get(name)]))).toEqual({
      server: 'Berth/0.1.0 (linux)',
      'api-version': '1.51',
      ostype: 'linux',
      'docker-experimental': 'false',
    });
  }
});

test('_ping says OK, and with HEAD only its headers; HEAD is what comes before a start', async () => {
  let expected = 0;
  await using server = await serve({ containers: { expectStart: () => void (expected += 1) } });
  const get = await request(server, 'GET', '/v1.24/_ping');
  expect([get.status, await get.text(), get.headers.get('builder-version'), get.headers.get('swarm')]).toEqual([
    200,
    'OK',
    '2',
    'inactive',
  ]);
  const head = await request(server, 'HEAD', '/_ping');
  expect([head.status, await head.text(), head.headers.get('content-type')]).toEqual([200, '', 'text/plain; charset=utf-8']);
  expect(expected).toBe(1);
});

test('versions outside the range, unknown paths and wrong methods are told in JSON, its type without a charset', async () => {
  await using server = await serve();
  const answers = [
    ['GET', '/v1.99/info', 400, 'client version 1.99 is too new. Maximum supported API version is 1.51'],
    ['GET', '/v1.24.1/info', 400, 'invalid API version "1.24.1": expected two numbers such as 1.51'],
    ['GET', '/nowhere', 404, 'page not found'],
    ['PUT', '/containers/json', 404, 'page not found'],
    ['POST', '/v1.24/containers/prune', 400, 'POST /containers/prune requires minimum API version 1.25'],
    ['POST', '/swarm/init?x=y', 501, 'POST /swarm/init is not served by this daemon yet: this daemon does not form clusters'],
  ] as const;
  for (const [method, path, status, message] of answers) {
    const response = await request(server, method, path);
    expect([response.status, response.headers.get('content-type')]).toEqual([status, 'application/json']);
    expect(await response.text()).toBe(`${JSON.stringify({ message })}\n`);
  }
});

test('clients from before 1.24 are told in plain text that they are too old', async () => {
  await using server = await serve();
  const response = await request(server, 'GET', '/v1.10/info');
  expect([response.status, response.headers.get('content-type')]).toEqual([400, 'text/plain; charset=utf-8']);
  expect(await response.text()).toBe(
    'client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version\n',
  );
});

test('errors keep their kind and their words, without escaping HTML', async () => {
  const failures: Record<string, Error> = { a: notFound('No such container: <a> & more'), b: conflict('busy'), c: internal('broken') };
  await using server = await serve({
    containers: {
      inspect: ref => Promise.reject(failures[ref] ?? new Error('?')),
      start: () => Promise.reject(notModified('it runs')),
    },
  });
  expect(await (await request(server, 'GET', '/containers/a/json')).text()).toBe('{"message":"No such container: <a> & more"}\n');
  expect((await request(server, 'GET', '/containers/b/json')).status).toBe(409);
  expect((await request(server, 'GET', '/containers/c/json')).status).toBe(500);
  const started = await request(server, 'POST', '/containers/x/start');
  expect([started.status, await started.text()]).toEqual([304, '']);
});

test('a body that cannot be read is refused before anything happens', async () => {
  await using server = await serve();
  const answers = [
    ['{"Image":', 'application/json', /^invalid JSON: /],
    ['{"Image":3}', 'application/json', /cannot unmarshal number 3 into field ContainerCreateRequest.Image: expected a string/],
    ['{"Image":"x"} trailing', 'application/json', /^invalid JSON: /],
    [
      'Image=x',
      'application/x-www-form-urlencoded',
      /^unsupported Content-Type header \(application\/x-www-form-urlencoded\): must be 'application\/json'$/,
    ],
    ['', 'application/json', /^invalid JSON: got EOF while reading request body$/],
  ] as const;
  for (const [body, contentType, message] of answers) {
    const response = await request(server, 'POST', '/containers/create', { body, headers: { 'Content-Type': contentType } });
    expect(response.status).toBe(400);
    expect(((await response.json()) as { message: string }).message).toMatch(message);
  }
});

test('create fills in what was left out, and older clients get what they are used to', async () => {
  const seen: unknown[] = [];
  await using server = await serve({
    containers: {
      create: create => {
        seen.push([
          create.name,
          create.platform,
          create.config.cmd,
          create.hostConfig.networkMode,
          create.hostConfig.ipcMode,
          create.hostConfig.annotations,
        ]);
        return Promise.resolve({ id: 'abc', warnings: ['mind'] });
      },
    },
  });
  const body = JSON.stringify({ Image: 'x', Cmd: [], HostConfig: { Annotations: { a: 'b' } } });
  const created = await request(server, 'POST', '/v1.51/containers/create?name=n&platform=linux/arm64', { body });
  expect([created.status, await created.json()]).toEqual([201, { Id: 'abc', Warnings: ['mind'] }]);
  await request(server, 'POST', '/v1.39/containers/create?name=n&platform=linux/arm64', { body });
  expect(seen).toEqual([
    ['n', 'linux/arm64', undefined, 'default', '', { a: 'b' }],
    ['n', undefined, undefined, 'default', 'shareable', {}],
  ]);
});

test('names with slashes need no escaping', async () => {
  const seen: string[] = [];
  await using server = await serve({
    images: {
      history: name => {
        seen.push(name);
        return Promise.resolve([]);
      },
    },
  });
  await request(server, 'GET', '/images/localhost:5000/a/b:c/history');
  await request(server, 'GET', '/v1.30/images/a%2Fb%3Ac/history');
  expect(seen).toEqual(['localhost:5000/a/b:c', 'a/b:c']);
});

test('wait sends its headers at once, its answer when the container has ended, and stops when the client goes', async () => {
  const ended = Promise.withResolvers<{ exitCode: number }>();
  let signal: AbortSignal | undefined;
  await using server = await serve({
    containers: {
      wait: (_ref, _condition, its) => {
        signal = its;
        return { ended: ended.promise };
      },
    },
  });
  using wire = new Wire(server.path);
  wire.send('POST /containers/x/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\n\r\n');
  expect(await wire.until('\r\n\r\n')).toStartWith('HTTP/1.1 200 OK\r\n');
  using leaving = new Wire(server.path);
  leaving.send('POST /containers/x/wait HTTP/1.1\r\nHost: x\r\n\r\n');
  await leaving.until('\r\n\r\n');
  const aborted = new Promise(resolve => signal?.addEventListener('abort', resolve, { once: true }));
  leaving.socket.destroy();
  await aborted;
  ended.resolve({ exitCode: 7 });
  await wire.until('{"StatusCode":7}\n');
});

test('events are sent as they happen, with the digits of their nanoseconds', async () => {
  await using server = await serve();
  using wire = new Wire(server.path);
  wire.send(`GET /events?filters=${encodeURIComponent('{"type":["container"]}')} HTTP/1.1\r\nHost: x\r\n\r\n`);
  expect(await wire.until('\r\n\r\n')).toContain('Content-Type: application/json\r\n');
  server.events.publish({ type: 'network', action: 'create', actorId: 'n', attributes: {} });
  server.events.publish({ type: 'container', action: 'start', actorId: 'c', attributes: { image: 'i' } });
  const text = await wire.until('}\n');
  expect(text).toMatch(
    /\{"status":"start","id":"c","from":"i","Type":"container","Action":"start","Actor":\{"ID":"c","Attributes":\{"image":"i"\}\},"scope":"local","time":\d{10},"timeNano":\d{19}\}\n/,
  );
  expect(text).not.toContain('"network"');
  expect((await request(server, 'GET', '/events?since=5&until=4')).status).toBe(400);
});

test('progress is told while it happens; an error goes with a status before the first line, into the stream after it', async () => {
  await using server = await serve({
    images: {
      load: async (source, options, report) => {
        let bytes = 0;
        for await (const chunk of source) bytes += chunk.length;
        if (bytes === 3) throw notFound('no image in there');
        report({ id: 'abc', status: 'Loading layer', current: 1, total: 2 });
        report({ text: `quiet=${options.quiet}, ${bytes} bytes\n` });
        throw internal('disk full');
      },
    },
  });
  const early = await request(server, 'POST', '/images/load', { body: 'abc' });
  expect([early.status, await early.text()]).toEqual([404, '{"message":"no image in there"}\n']);
  const late = await request(server, 'POST', '/images/load?quiet=0', { body: 'x'.repeat(300_000) });
  expect([late.status, late.headers.get('content-type'), await late.text()]).toEqual([
    200,
    'application/json',
    '{"status":"Loading layer","progressDetail":{"current":1,"total":2},"id":"abc"}\r\n' +
      '{"stream":"quiet=false, 300000 bytes\\n"}\r\n' +
      '{"errorDetail":{"message":"disk full"},"error":"disk full"}\r\n',
  ]);
});

test('logs carry frames, timestamps and details; without a stream to show they are refused', async () => {
  await using server = await serve({
    containers: {
      logs: ref => ({
        tty: ref === 'tty',
        batches: (async function* () {
          await Promise.resolve();
          yield [
            { stream: 'stdout', time: '2026-01-02T03:04:05.000000000Z', line: Buffer.from('out\n') },
            { stream: 'stderr', time: '2026-01-02T03:04:06.000000000Z', line: Buffer.from('err\n') },
          ] as const;
        })(),
      }),
      logDetails: () => ({ b: 'x y', a: '1' }),
    },
  });
  const framed = await request(server, 'GET', '/containers/x/logs?stdout=1&stderr=1');
  expect(framed.headers.get('content-type')).toBe('application/vnd.docker.multiplexed-stream');
  expect(await framed.text()).toBe('\x01\0\0\0\0\0\0\x04out\n\x02\0\0\0\0\0\0\x04err\n');
  const raw = await request(server, 'GET', '/containers/tty/logs?stdout=1&stderr=1&timestamps=1&details=1');
  expect(await raw.text()).toBe('2026-01-02T03:04:05.000000000Z a=1,b=x+y out\n2026-01-02T03:04:06.000000000Z a=1,b=x+y err\n');
  const neither = await request(server, 'GET', '/containers/x/logs');
  expect([neither.status, await neither.json()]).toEqual([400, { message: 'Bad parameters: you must choose at least one stream' }]);
});

test('requests follow each other on one connection, also when a body was not read', async () => {
  await using server = await serve();
  using wire = new Wire(server.path);
  wire.send(`POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nsome body`);
  await wire.until('page not found');
  wire.send('GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n');
  await wire.until('\r\n\r\nOK');
});

test('a client that closes its sending side still gets its answer', async () => {
  await using server = await serve();
  using wire = new Wire(server.path);
  wire.send('GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n').halfClose();
  expect(await wire.untilClosed()).toEndWith('\r\n\r\nOK');
});

test('what is no HTTP is answered and closed', async () => {
  await using server = await serve();
  using wire = new Wire(server.path);
  expect(await wire.send('nonsense\r\n\r\n').untilClosed()).toStartWith('HTTP/1.1 400 Bad Request\r\n');
});

test('the socket is for its owner and group, is taken over from a dead daemon and refused by a living one', async () => {
  await using server = await serve();
  expect(statSync(server.path).mode & 0o777).toBe(0o660);
  const { listen } = await import('./listener.ts');
  const again = listen({ kind: 'unix', path: server.path }, { gid: undefined }, () => undefined);
  expect(await again.then(() => 'listening', messageOf)).toContain('another daemon listens there');
});

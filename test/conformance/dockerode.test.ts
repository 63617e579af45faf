import { PassThrough, Readable } from 'node:stream';
import { expect } from 'bun:test';
import Dockerode from 'dockerode';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { readTar } from '#oci/tar/reader.ts';
import { writeTar } from '#oci/tar/writer.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

const failure = (call: Promise<unknown>): Promise<unknown> => call.catch((err: unknown) => err);

describe('dockerode', () => {
  const daemon = sharedDaemon();
  const docker = (): Dockerode => new Dockerode({ socketPath: daemon().socketPath });
  const collect = (stream: NodeJS.ReadableStream): { text: string } => {
    const seen = { text: '' };
    stream.on('data', chunk => (seen.text += String(chunk)));
    return seen;
  };

  test('run with output', async () => {
    const output = new PassThrough();
    const seen = collect(output);
    const [result, container] = (await docker().run('busybox', ['sh', '-c', 'echo hello; exit 3'], output)) as [
      { StatusCode: number },
      Dockerode.Container,
    ];
    expect(result.StatusCode).toBe(3);
    await eventually('the output', () => seen.text.includes('hello'));
    await container.remove();
  });

  test('create, start, inspect, exec, logs, stop, remove', async () => {
    const container = await docker().createContainer({ Image: 'busybox', Cmd: ['sleep', '1000'], name: 'ode' });
    await container.start();
    expect((await container.inspect()).State.Running).toBe(true);
    const exec = await container.exec({ Cmd: ['echo', 'inside'], AttachStdout: true, AttachStderr: true });
    const stream = await exec.start({});
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const seen = collect(stdout);
    docker().modem.demuxStream(stream, stdout, stderr);
    await eventually('the output', () => seen.text === 'inside\n');
    await eventually('its end', async () => (await exec.inspect()).ExitCode === 0);
    expect(await docker().listContainers()).toHaveLength(1);
    await container.stop({ t: 0 });
    expect(await failure(container.stop())).toMatchObject({ statusCode: 304 });
    await container.remove();
    expect(await failure(container.inspect())).toMatchObject({ statusCode: 404 });
  });

  test('usage and changed limits', async () => {
    const container = await docker().createContainer({ Image: 'busybox', Cmd: ['sleep', '1000'] });
    await container.start();
    const once = await container.stats({ stream: false, 'one-shot': true });
    expect(once.pids_stats?.current).toBe(1);
    const seen = collect(await container.stats({ stream: true }));
    await eventually('two reports', () => seen.text.split('\n').length > 2);
    expect(await container.update({ PidsLimit: 20, RestartPolicy: { Name: 'always' } })).toEqual({ Warnings: null });
    expect((await container.inspect()).HostConfig).toMatchObject({ PidsLimit: 20, RestartPolicy: { Name: 'always' } });
    expect(await failure(container.update({ CpuQuota: 1 }))).toMatchObject({ statusCode: 400 });
    await container.remove({ force: true });
  });

  test('attach before start with input', async () => {
    const container = await docker().createContainer({
      Image: 'busybox',
      Cmd: ['cat'],
      OpenStdin: true,
      StdinOnce: true,
      AttachStdin: true,
    });
    const stream = await container.attach({ stream: true, stdin: true, stdout: true, hijack: true });
    const output = new PassThrough();
    const seen = collect(output);
    docker().modem.demuxStream(stream, output, output);
    await container.start();
    stream.write('typed\n');
    await eventually('the echo', () => seen.text === 'typed\n');
    stream.end();
    expect(await container.wait()).toMatchObject({ StatusCode: 0 });
    await container.remove();
  });

  test('images, networks, volumes, events', async () => {
    await docker().getImage('busybox').tag({ repo: 'ode', tag: '1' });
    expect((await docker().listImages()).flatMap(({ RepoTags }) => RepoTags)).toContain('ode:1');
    await docker().getImage('ode:1').remove();
    const network = await docker().createNetwork({ Name: 'odenet' });
    expect(await network.inspect()).toMatchObject({ Name: 'odenet' });
    await network.remove();
    await docker().createVolume({ Name: 'odevol' });
    await docker().getVolume('odevol').remove();
    const until = Math.floor(Date.now() / 1000) + 1;
    const events = await docker().getEvents({ since: until - 60, until });
    const seen = collect(events);
    await eventually('events', () => seen.text.includes('odevol'));
  });

  test('exec with a terminal, with input, and one that does not exist', async () => {
    const container = await docker().createContainer({ Image: 'busybox', Cmd: ['sleep', '1000'] });
    await container.start();
    const terminal = await container.exec({
      Cmd: ['sh', '-c', 'test -t 0 && test -t 1 && echo terminal'],
      AttachStdout: true,
      AttachStderr: true,
      Tty: true,
    });
    const seenTerminal = collect(await terminal.start({ Tty: true, hijack: true }));
    await eventually('the output', () => seenTerminal.text === 'terminal\r\n');

    const cat = await container.exec({ Cmd: ['cat'], AttachStdin: true, AttachStdout: true });
    const stream = await cat.start({ stdin: true, hijack: true });
    const output = new PassThrough();
    const seen = collect(output);
    docker().modem.demuxStream(stream, output, output);
    stream.end('through');
    await eventually('the echo', () => seen.text === 'through');
    await eventually('the end', async () => (await cat.inspect()).Running === false);

    const missing = await container.exec({ Cmd: ['/no/such'], AttachStdout: true });
    collect(await missing.start({}));
    await eventually('its exit code', async () => (await missing.inspect()).ExitCode === 127);
    await container.remove({ force: true });
  });

  test('a terminal: attach, resize, its output as it is', async () => {
    const container = await docker().createContainer({ Image: 'busybox', Cmd: ['sh'], Tty: true, OpenStdin: true });
    const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
    const seen = collect(stream);
    await container.start();
    await container.resize({ h: 33, w: 77 });
    stream.write('stty size\n');
    await eventually('the size', () => seen.text.includes('33 77'));
    stream.write('exit 5\n');
    expect(await container.wait()).toMatchObject({ StatusCode: 5 });
    await container.remove();
  });

  test('logs, followed and in the past', async () => {
    const container = await docker().createContainer({
      Image: 'busybox',
      Cmd: ['sh', '-c', 'echo one; echo two >&2; sleep 0.2; echo three'],
    });
    await container.start();
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const [out, err] = [collect(stdout), collect(stderr)];
    docker().modem.demuxStream(await container.logs({ follow: true, stdout: true, stderr: true }), stdout, stderr);
    await container.wait();
    await eventually('all of it', () => out.text === 'one\nthree\n' && err.text === 'two\n');
    const past = await container.logs({ follow: false, stdout: true, tail: 1 });
    expect(past.subarray(8).toString()).toBe('three\n');
    await container.remove();
  });

  test('states: pause, rename, kill, restart, top, list by filters', async () => {
    const container = await docker().createContainer({ Image: 'busybox', Cmd: ['sleep', '1000'], name: 'before', Labels: { ode: 'yes' } });
    await container.start();
    await container.pause();
    expect((await container.inspect()).State.Paused).toBe(true);
    await container.unpause();
    await container.rename({ name: 'after' });
    expect(
      (await docker().listContainers({ filters: { label: ['ode=yes'], name: ['after'], status: ['running'] } })).map(({ Id }) => Id),
    ).toEqual([container.id]);
    expect((await container.top()).Processes).toHaveLength(1);
    await container.restart({ t: 0 });
    const ended = container.wait({ condition: 'next-exit' });
    await container.kill({ signal: 'SIGKILL' });
    expect(await ended).toMatchObject({ StatusCode: 137 });
    expect(await failure(container.kill())).toMatchObject({ statusCode: 409 });
    expect(await docker().listContainers({ filters: { name: ['after'] } })).toEqual([]);
    expect((await docker().pruneContainers({ filters: { label: ['ode=yes'] } })).ContainersDeleted).toEqual([container.id]);
  });

  test('files: put, get, stat, changes, export, commit', async () => {
    const container = await docker().createContainer({ Image: 'busybox', Cmd: ['sleep', '1000'] });
    await container.start();
    const parts: Uint8Array[] = [];
    for await (const part of writeTar([{ entry: { name: 'dir/file' }, content: Buffer.from('text') }])) parts.push(part.slice());
    await container.putArchive(Buffer.concat(parts), { path: '/tmp' });
    const stat = (await container.infoArchive({ path: '/tmp/dir/file' })) as unknown as { headers: Record<string, string> };
    const told = Buffer.from(stat.headers['x-docker-container-path-stat'] ?? '', 'base64').toString();
    expect(JSON.parse(told)).toMatchObject({ name: 'file', size: 4 });
    const names = async (stream: NodeJS.ReadableStream): Promise<string[]> => {
      const found: string[] = [];
      for await (const { entry } of readTar(stream as AsyncIterable<Buffer>)) found.push(entry.name);
      return found;
    };
    expect(await names(await container.getArchive({ path: '/tmp/dir' }))).toEqual(['dir', 'dir/file']);
    expect(await container.changes()).toContainEqual({ Path: '/tmp/dir/file', Kind: 1 });
    expect(await names(await container.export())).toContain('tmp/dir/file');
    expect(await failure(container.getArchive({ path: '/nosuch' }))).toMatchObject({ statusCode: 404 });
    const { Id } = (await container.commit({ repo: 'odemade', tag: '1', comment: 'words', changes: 'LABEL a=b' })) as { Id: string };
    expect(await docker().getImage('odemade:1').inspect()).toMatchObject({ Id, Comment: 'words', Config: { Labels: { a: 'b' } } });
    await docker().getImage('odemade:1').remove();
    await container.remove({ force: true });
  });

  test('images: save, remove, load, history, import', async () => {
    await docker().getImage('busybox').tag({ repo: 'ode', tag: 'saved' });
    const archive = await new Response((await docker().getImage('ode:saved').get()) as unknown as ReadableStream).arrayBuffer();
    await docker().getImage('ode:saved').remove();
    const progress = (await docker().loadImage(Readable.from([Buffer.from(archive)]))) as unknown as NodeJS.ReadableStream;
    await new Promise<void>((resolve, reject) => docker().modem.followProgress(progress, err => (err ? reject(err) : resolve())));
    expect(((await docker().getImage('ode:saved').history()) as unknown[]).length).toBeGreaterThan(0);
    expect((await docker().getImage('ode:saved').inspect()).Architecture).toBe(process.arch === 'arm64' ? 'arm64' : 'amd64');
    await docker().getImage('ode:saved').remove();
    expect(await failure(docker().getImage('ode:saved').inspect())).toMatchObject({ statusCode: 404 });
    expect(await failure(docker().pull('127.0.0.1:1/none:x'))).toMatchObject({ message: expect.stringContaining('connection refused') });
  });

  test('networks and volumes in use', async () => {
    const network = await docker().createNetwork({ Name: 'odeuse', Labels: { a: 'b' } });
    await docker().createVolume({ Name: 'odeuse' });
    const container = await docker().createContainer({
      Image: 'busybox',
      Cmd: ['sleep', '1000'],
      HostConfig: { Binds: ['odeuse:/data'], NetworkMode: 'odeuse' },
    });
    await container.start();
    expect(Object.keys((await network.inspect()).Containers as object)).toEqual([container.id]);
    expect(await failure(network.remove())).toMatchObject({ statusCode: 403 });
    expect(await failure(docker().getVolume('odeuse').remove())).toMatchObject({ statusCode: 409 });
    const bridge = docker().getNetwork('bridge');
    await bridge.connect({ Container: container.id });
    expect(Object.keys((await container.inspect()).NetworkSettings.Networks).sort()).toEqual(['bridge', 'odeuse']);
    await bridge.disconnect({ Container: container.id, Force: true });
    await container.remove({ force: true });
    expect((await docker().pruneNetworks({ filters: { label: ['a=b'] } })).NetworksDeleted).toEqual(['odeuse']);
    expect((await docker().pruneVolumes({ filters: { all: ['true'] } })).VolumesDeleted).toEqual(['odeuse']);
  });

  test('events by filter, info, version, disk usage', async () => {
    const stream = await docker().getEvents({ filters: { type: ['network'], event: ['create'] } });
    const seen = collect(stream);
    await docker().createVolume({ Name: 'odenoise' });
    await docker().getVolume('odenoise').remove();
    const network = await docker().createNetwork({ Name: 'odeevent' });
    await eventually('the event', () => seen.text.includes('odeevent'));
    expect(seen.text).not.toContain('odenoise');
    (stream as unknown as { destroy(): void }).destroy();
    await network.remove();
    expect(await docker().info()).toMatchObject({ OSType: 'linux' });
    expect(await docker().version()).toMatchObject({ ApiVersion: '1.51' });
    expect(await docker().df()).toMatchObject({ BuildCache: [] });
    expect(String(await docker().ping())).toBe('OK');
  });

  test('builds with BuildKit, of a context that comes with the request', async () => {
    const text = (value: string): Uint8Array => new TextEncoder().encode(value);
    const files = [
      { entry: { name: 'Dockerfile' }, content: text('FROM busybox\nARG WHO\nCOPY a /a\nRUN echo "$WHO" >> /a\n') },
      { entry: { name: 'a' }, content: text('by ') },
    ];
    const stream = await docker().buildImage(Readable.from(writeTar(files)), {
      version: '2',
      t: 'ode-built',
      buildargs: { WHO: 'dockerode' },
    });
    const messages = await new Promise<{ error?: string; aux?: { ID?: string } }[]>((resolve, reject) =>
      docker().modem.followProgress(stream, (err, all) => (err === null ? resolve(all as never) : reject(err))),
    );
    expect(messages.filter(({ error }) => error !== undefined)).toEqual([]);
    expect(messages.flatMap(({ aux }) => aux?.ID ?? [])).toEqual([(await docker().getImage('ode-built').inspect()).Id]);
    const output = new PassThrough();
    const seen = collect(output);
    const [, container] = (await docker().run('ode-built', ['cat', '/a'], output)) as [unknown, Dockerode.Container];
    await eventually('the output', () => seen.text.includes('by dockerode'));
    await container.remove();
  });
});

import { PassThrough } from 'node:stream';
import { expect } from 'bun:test';
import Dockerode from 'dockerode';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
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
});

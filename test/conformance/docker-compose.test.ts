import { mkdtemp, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { dockerCommand } from '#test/helpers/docker-cli.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';
import { run, runOk } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'docker-compose');

const project = `
version: '3.7'
services:
  web:
    image: busybox
    command: sh -c 'echo served > /data/index.html; exec httpd -f -p 80 -h /data'
    init: true
    stop_grace_period: 1s
    volumes: ['data:/data', '/anonymous']
    networks: {front: {aliases: [site]}}
    ports: ['127.0.0.1::80']
    labels: {role: web}
    environment: {COLOR: blue}
  client:
    image: busybox
    command: sh -c 'until wget -qO- http://site; do sleep 0.1; done; sleep 1000'
    init: true
    stop_grace_period: 1s
    networks: [front]
    depends_on: [web]
volumes: {data: {}}
networks: {front: {}}
`;

/** Compose 1, the Python program: it reads the answers of the API more literally than later ones do. */
describe('docker-compose 1', () => {
  const daemon = sharedDaemon();
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp('/tmp/berth-compose-');
    await Bun.write(join(folder, 'docker-compose.yml'), project);
  });
  afterAll(async () => await rm(folder, { recursive: true, force: true }));
  // Its `exec` calls `docker`.
  const PATH = `${dirname(dockerCommand()[0] ?? '')}:${process.env.PATH ?? ''}`;
  const options = () => ({ env: { DOCKER_HOST: daemon().host, PATH }, cwd: folder });
  const compose = async (...args: string[]) => (await runOk(['docker-compose', '-p', 'demo', ...args], options())).trim();

  test('a project from up to down', async () => {
    await compose('up', '-d');
    expect((await daemon().dockerOk('ps', '--format', '{{.Names}}')).trim().split('\n').sort()).toEqual(['demo_client_1', 'demo_web_1']);
    await eventually('the client has been served', async () =>
      (await compose('logs', '--no-color', 'client')).includes('client_1  | served'),
    );
    expect(await compose('exec', '-T', 'web', 'sh', '-c', 'echo $COLOR')).toBe('blue');
    expect((await run(['docker-compose', '-p', 'demo', 'exec', '-T', 'web', 'sh', '-c', 'exit 3'], options())).exitCode).toBe(3);
    const port = await compose('port', 'web', '80');
    expect(await (await fetch(`http://${port}/`)).text()).toBe('served\n');
    expect(await compose('run', '--rm', '-T', 'client', 'echo', 'one-off')).toContain('one-off');
    expect(await compose('top', 'web')).toContain('httpd -f -p 80');
    expect(await compose('ps')).toContain('->80/tcp');
    expect(await compose('images')).toContain('busybox');
    await compose('up', '-d', '--scale', 'client=2');
    expect(await compose('ps', '-q', 'client')).toMatch(/^[0-9a-f]{64}\n[0-9a-f]{64}$/);
    await compose('restart', '-t', '1', 'client');
    await compose('pause', 'client');
    await compose('unpause', 'client');
    await compose('kill', 'client');
    await compose('stop', '-t', '1');
    await compose('start');
    await compose('down', '-v', '-t', '1');
    expect(await daemon().dockerOk('ps', '-aq')).toBe('');
    expect(await daemon().dockerOk('volume', 'ls', '-q')).not.toContain('demo_data');
    expect(await daemon().dockerOk('network', 'ls', '--format', '{{.Name}}')).not.toContain('demo');
  }, 60_000);

  test('a service that is made anew keeps its anonymous volumes; one that has not changed is left alone', async () => {
    const anonymous = async () =>
      await daemon().dockerOk('inspect', '-f', '{{range .Mounts}}{{if eq .Destination "/anonymous"}}{{.Name}}{{end}}{{end}}', 'demo_web_1');
    await compose('up', '-d', 'web');
    const [volume, id] = [await anonymous(), await compose('ps', '-q', 'web')];
    await compose('up', '-d', 'web');
    expect(await compose('ps', '-q', 'web')).toBe(id);
    await compose('up', '-d', '-t', '1', '--force-recreate', 'web');
    expect(await compose('ps', '-q', 'web')).not.toBe(id);
    expect(await anonymous()).toBe(volume);
    await compose('down', '-v', '-t', '1');
  }, 60_000);
});

import { existsSync } from 'node:fs';
import { expect } from 'bun:test';
import { baseImage } from '../../scripts/base-images.ts';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { dockerCommand } from '#test/helpers/docker-cli.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

/** The stock docker command line, which knows nothing of Berth. */
describe('the docker command line', () => {
  const daemon = sharedDaemon();
  const docker = (...args: string[]) => daemon().docker(args);
  const ok = async (...args: string[]): Promise<string> => (await daemon().dockerOk(...args)).trim();

  test('version and info show both sides', async () => {
    expect(await ok('version')).toMatch(/Server:[\s\S]*Version:/);
    expect(await ok('info')).toContain('Storage Driver: overlay2');
  });

  test('run: output, errors, exit code', async () => {
    const { exitCode, stdout, stderr } = await docker('run', '--rm', 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 42');
    expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 42, stdout: 'out\n', stderr: 'err\n' });
  });

  test('run -i passes input and its end', async () => {
    const { stdout } = await daemon().docker(['run', '-i', '--rm', 'busybox', 'wc', '-c'], { stdin: 'x'.repeat(300_000) });
    expect(stdout.trim()).toBe('300000');
  });

  test('run -t gives a terminal', async () => {
    expect(await ok('run', '-t', '--rm', 'busybox', 'sh', '-c', 'test -t 1 && echo terminal')).toBe('terminal');
  });

  test('125, 126 and 127', async () => {
    expect((await docker('run', '--rm', '--memory', '1k', 'busybox')).exitCode).toBe(125);
    expect((await docker('run', '--rm', 'busybox', '/etc/passwd')).exitCode).toBe(126);
    expect((await docker('run', '--rm', 'busybox', '/no/such')).exitCode).toBe(127);
    expect((await docker('run', '--rm', 'busybox', 'sh', '-c', 'kill -TERM $$; sleep 1; exit 9')).exitCode).toBe(9);
  });

  test('run -d, ps, logs, stop, start, rm', async () => {
    const id = await ok(
      'run',
      '-d',
      '--name',
      'life',
      'busybox',
      'sh',
      '-c',
      'trap "exit 0" TERM; echo started; while :; do sleep 0.1; done',
    );
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(await ok('ps', '--format', '{{.Names}} {{.Image}} {{.State}}')).toBe('life busybox running');
    await eventually('it has spoken', async () => (await ok('logs', 'life')) === 'started');
    expect(await ok('stop', 'life')).toBe('life');
    expect(await ok('ps', '-a', '--filter', 'name=life', '--format', '{{.Status}}')).toStartWith('Exited (0)');
    expect(await ok('start', 'life')).toBe('life');
    expect((await docker('rm', 'life')).exitCode).toBe(1);
    expect(await ok('rm', '-f', 'life')).toBe('life');
    expect(await ok('ps', '-aq')).toBe('');
  });

  test('exec, top, inspect, rename, kill, wait, port', async () => {
    await ok('run', '-d', '--name', 'much', '-p', '127.0.0.1::80', 'busybox', 'sleep', '1000');
    expect(await ok('exec', '-e', 'A=b', '-w', '/etc', 'much', 'sh', '-c', 'echo $A; pwd')).toBe('b\n/etc');
    expect((await docker('exec', 'much', 'sh', '-c', 'exit 3')).exitCode).toBe(3);
    expect((await daemon().docker(['exec', '-i', 'much', 'cat'], { stdin: 'through' })).stdout).toBe('through');
    expect(await ok('top', 'much')).toContain('sleep 1000');
    expect(await ok('inspect', '-f', '{{.State.Status}} {{.Config.Image}}', 'much')).toBe('running busybox');
    expect(await ok('port', 'much', '80')).toMatch(/^127\.0\.0\.1:\d+$/);
    await ok('rename', 'much', 'more');
    const ended = ok('wait', 'more');
    await ok('kill', 'more');
    expect(await ended).toBe('137');
    await ok('rm', 'more');
  });

  test('--rm removes, --cidfile writes, --env-file reads', async () => {
    await using folder = await tempFolder();
    await Bun.write(`${folder.path}/env`, '# comment\nFROM_FILE=yes\n');
    const said = await ok(
      'run',
      '--rm',
      '--cidfile',
      `${folder.path}/cid`,
      '--env-file',
      `${folder.path}/env`,
      'busybox',
      'sh',
      '-c',
      'echo $FROM_FILE',
    );
    expect(said).toBe('yes');
    expect(await Bun.file(`${folder.path}/cid`).text()).toMatch(/^[0-9a-f]{64}$/);
    await eventually('it is gone', async () => (await ok('ps', '-aq')) === '');
  });

  test('networks and volumes', async () => {
    await ok('network', 'create', '--subnet', '10.242.1.0/24', 'net');
    await ok('volume', 'create', 'vol');
    await ok('run', '-d', '--name', 'peer', '--network', 'net', '-v', 'vol:/data', 'busybox', 'sleep', '1000');
    expect(await ok('run', '--rm', '--network', 'net', 'busybox', 'ping', '-c', '1', '-W', '2', 'peer')).toContain('1 packets received');
    expect(await ok('network', 'inspect', '-f', '{{range .Containers}}{{.Name}}{{end}}', 'net')).toBe('peer');
    expect((await docker('network', 'rm', 'net')).exitCode).toBe(1);
    await ok('network', 'connect', 'bridge', 'peer');
    await ok('network', 'disconnect', 'net', 'peer');
    await ok('rm', '-f', 'peer');
    expect(await ok('network', 'rm', 'net')).toBe('net');
    expect(await ok('volume', 'ls', '-q')).toBe('vol');
    expect(await ok('volume', 'rm', 'vol')).toBe('vol');
  });

  test('images: list, tag, history, save, load, import, rmi', async () => {
    await using folder = await tempFolder();
    expect(await ok('images', '--format', '{{.Repository}}:{{.Tag}}')).toBe('busybox:latest');
    await ok('tag', 'busybox', 'other:tag');
    expect(await ok('history', '-q', 'other:tag')).toMatch(/^[0-9a-f]{12}$/);
    await ok('save', '-o', `${folder.path}/saved.tar`, 'other:tag');
    expect(await ok('rmi', 'other:tag')).toContain('Untagged: other:tag');
    expect(await ok('load', '-i', `${folder.path}/saved.tar`)).toContain('Loaded image: other:tag');
    await ok('rmi', 'other:tag');
    await Bun.$`mkdir ${folder.path}/root && echo content > ${folder.path}/root/file && tar -C ${folder.path}/root -cf ${folder.path}/root.tar .`;
    const id = await ok('import', '-c', 'CMD ["/x"]', `${folder.path}/root.tar`, 'imported:1');
    expect(id).toStartWith('sha256:');
    expect(await ok('inspect', '-f', '{{json .Config.Cmd}}', 'imported:1')).toBe('["/x"]');
    await ok('rmi', 'imported:1');
  });

  test('a missing image is pulled, and the error says what is wrong', async () => {
    const { exitCode, stderr } = await docker('run', '--rm', '127.0.0.1:1/nothing:here');
    expect(exitCode).toBe(125);
    expect(stderr).toContain("Unable to find image '127.0.0.1:1/nothing:here' locally");
    expect(stderr).toContain('127.0.0.1:1');
  });

  test('attach from a second client, detach keys', async () => {
    await ok('run', '-d', '--name', 'talker', 'busybox', 'sh', '-c', 'while [ ! -e /go ]; do sleep 0.05; done; echo word');
    const attached = docker('attach', '--no-stdin', 'talker');
    await Bun.sleep(200);
    await ok('exec', 'talker', 'touch', '/go');
    expect((await attached).stdout).toBe('word\n');
    await ok('rm', 'talker');
  });

  test('events', async () => {
    const since = String(Math.floor(Date.now() / 1000));
    await ok('run', '--rm', '--name', 'eventful', 'busybox', 'true');
    const until = String(Math.floor(Date.now() / 1000) + 1);
    const said = await ok('events', '--since', since, '--until', until, '--filter', 'container=eventful', '--format', '{{.Action}}');
    expect(said.split('\n')).toEqual(expect.arrayContaining(['create', 'attach', 'start', 'die', 'destroy']));
  });

  // The newest command line negotiates the newest version; the one that Debian ships speaks an old one.
  test('an older command line', async () => {
    const old = '.cache/docker/usr/bin/docker';
    if (!existsSync(old) || dockerCommand()[0] === old) return;
    const { exitCode, stdout } = await (await import('#test/helpers/run.ts')).run([old, 'run', '--rm', 'busybox', 'echo', 'old'], {
      env: { DOCKER_HOST: daemon().host },
    });
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: 'old\n' });
  });

  test('a bigger image: Debian', async () => {
    if (Bun.which('debootstrap') === null) return;
    await ok('load', '-q', '-i', await baseImage('debian'));
    expect(await ok('run', '--rm', 'debian:12', 'bash', '-c', '. /etc/os-release; echo $ID; dpkg -s bash | grep -c Status')).toBe(
      'debian\n1',
    );
    await ok('rmi', 'debian:12');
  }, 120_000);
});

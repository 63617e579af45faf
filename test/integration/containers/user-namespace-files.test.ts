import { readlinkSync } from 'node:fs';
import { afterAll, beforeAll, expect } from 'bun:test';
import { readTar } from '#oci/tar/reader.ts';
import { writeTar } from '#oci/tar/writer.ts';
import { buildOk, build } from '#test/helpers/build.ts';
import { create, execIn, inspect, outputOf, remove, start, waiting } from '#test/helpers/containers.ts';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { needs } from '#test/helpers/needs.ts';
import { type PrivateEtc, remappedRoot, remappedUser, startPrivateEtc } from '#test/helpers/private-etc.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

describe('files under a daemon that remaps ids', () => {
  let etc: PrivateEtc;
  let daemon: TestDaemon;
  beforeAll(async () => {
    etc = await startPrivateEtc();
    daemon = await startDaemon({ args: ['--userns-remap', remappedUser.name], besideProcess: etc.pid, remappedRoot });
  }, 60_000);
  afterAll(async () => {
    await daemon?.[Symbol.asyncDispose]();
    await etc?.[Symbol.asyncDispose]();
  }, 60_000);

  async function owners(path: string): Promise<Map<string, string>> {
    const response = await daemon.api.open('GET', path);
    expect(response.status).toBe(200);
    const found = new Map<string, string>();
    for await (const { entry } of readTar(response.body ?? new Blob([]).stream())) {
      found.set(entry.name.replace(/\/$/, ''), `${String(entry.uid)}:${String(entry.gid)}`);
    }
    return found;
  }

  async function put(id: string, uid: number, query = ''): Promise<number> {
    const tar = new Uint8Array(
      Buffer.concat(
        await Array.fromAsync(
          writeTar([
            { entry: { name: 'in/file', uid, gid: 6 }, content: Buffer.from('x') },
            { entry: { name: 'in/own', type: 'directory', uid, gid: 6, mode: 0o755 } },
          ]),
          chunk => chunk.slice(),
        ),
      ),
    );
    return (await daemon.api.call('PUT', `/containers/${id}/archive?path=/${query}`, { raw: tar })).status;
  }

  for (const isRunning of [true, false]) {
    test(`archives of a container that ${isRunning ? 'runs' : 'is down'} speak of the ids inside`, async () => {
      const id = await start(daemon, waiting({ HostConfig: { Binds: ['shared:/shared'] } }));
      await execIn(daemon, id, ['sh', '-c', 'touch /made /shared/v; chown 7:8 /made /shared/v']);
      if (!isRunning) await daemon.api.expect('POST', `/containers/${id}/stop?t=1`);
      expect(await owners(`/containers/${id}/archive?path=/made`)).toEqual(new Map([['made', '7:8']]));
      expect((await owners(`/containers/${id}/archive?path=/shared`)).get('shared/v')).toBe('7:8');
      const exported = await owners(`/containers/${id}/export`);
      expect([exported.get('made'), exported.get('bin/busybox')]).toEqual(['7:8', '0:0']);
      expect(await put(id, 5)).toBe(200);
      expect(await put(id, 70_000)).toBe(400);
      if (!isRunning) await daemon.api.expect('POST', `/containers/${id}/start`);
      const { stdout } = await execIn(daemon, id, ['stat', '-c', '%n %u:%g', '/in', '/in/file', '/in/own']);
      expect(stdout).toBe('/in 0:0\n/in/file 5:6\n/in/own 5:6\n');
      await remove(daemon, id);
      await daemon.api.expect('DELETE', '/volumes/shared');
    });
  }

  test('with the owner of a container’s user', async () => {
    const id = await create(daemon, waiting({ User: '12:13' }));
    expect(await put(id, 5, '&copyUIDGID=1')).toBe(200);
    expect((await owners(`/containers/${id}/archive?path=/in`)).get('in/file')).toBe('12:13');
    await remove(daemon, id);
  });

  test('differences and commits', async () => {
    const id = await start(daemon, waiting());
    await execIn(daemon, id, ['sh', '-c', 'mkdir -p /srv/d; touch /srv/d/f; chown -R 7:8 /srv/d; touch /bin/new']);
    const changes = await daemon.api.expect<{ Path: string; Kind: number }[]>('GET', `/containers/${id}/changes`);
    expect(changes.map(({ Path, Kind }) => `${String(Kind)} ${Path}`)).toEqual([
      '0 /bin',
      '1 /bin/new',
      '1 /srv',
      '1 /srv/d',
      '1 /srv/d/f',
    ]);
    await daemon.api.expect('POST', `/commit?container=${id}&repo=mine`, { body: {}, status: 201 });
    expect(await outputOf(daemon, 'stat -c %u:%g /srv /srv/d /srv/d/f /bin', { Image: 'mine' })).toBe('0:0\n7:8\n7:8\n0:0');
    await remove(daemon, id);
    await daemon.api.expect('DELETE', '/images/mine');
  });

  test('steps of builds are in a user namespace, their files belong to the ids inside', async () => {
    const dockerfile = `FROM busybox AS first
RUN readlink /proc/self/ns/user >/namespace; cat /proc/self/uid_map >>/namespace; mkdir /d; touch /d/f; chown -R 7:8 /d; chmod 600 /etc/passwd
FROM busybox
COPY --from=first /d /copied
COPY --from=first /namespace /
COPY --chown=3:4 file /
RUN --mount=type=bind,target=/ctx --mount=type=bind,from=first,source=/d,target=/d,rw \\
    stat -c '%n %u:%g' /ctx/file /d/f /file /copied/f >/seen; cat /ctx/file >>/seen; touch /d/g
RUN --mount=type=bind,target=/ctx,rw --mount=type=tmpfs,target=/t touch /ctx/more /t/x; stat -c '%n %u:%g' /ctx/file /ctx/more /t/x >>/seen
RUN --mount=type=cache,target=/c,uid=9 stat -c '%n %u:%g' /c >>/seen; touch /c/kept; chown 10 /c/kept
RUN --mount=type=cache,target=/c,uid=9 stat -c '%n %u:%g' /c/kept >>/seen
RUN <<END
echo script >>/seen
END
WORKDIR /made/here
USER 12
RUN id -u >>/tmp/mine
`;
    const image = await buildOk(daemon.api, { Dockerfile: dockerfile, file: 'hello\n' }, { t: 'built' });
    const seen = await outputOf(daemon, 'cat /namespace /seen', { Image: image, User: '0' });
    const lines = seen.replace(/ +/g, ' ').split('\n');
    expect(lines[0]).not.toBe(readlinkSync('/proc/self/ns/user'));
    expect(lines.slice(1).map(line => line.trim())).toEqual([
      '0 200000 65536',
      ...['/ctx/file 0:0', '/d/f 7:8', '/file 3:4', '/copied/f 7:8', 'hello'],
      ...['/ctx/file 0:0', '/ctx/more 0:0', '/t/x 0:0', '/c 9:0', '/c/kept 10:0', 'script'],
    ]);
    const found = await outputOf(daemon, 'stat -c "%n %u:%g" /copied /copied/f /file /seen /made/here /tmp/mine', {
      Image: image,
      User: '0',
    });
    expect(found.split('\n')).toEqual([...['/copied 0:0', '/copied/f 7:8', '/file 3:4', '/seen 0:0', '/made/here 0:0', '/tmp/mine 12:0']]);
    await daemon.api.expect('DELETE', '/images/built');
    await daemon.api.expect('POST', '/build/prune?all=1');
  });

  test('a step cannot have the network of the host', async () => {
    const { error } = await build(daemon.api, { Dockerfile: 'FROM busybox\nRUN true' }, { networkmode: 'host', nocache: '1' });
    expect(error).toContain("cannot share the host's network namespace when user namespaces are enabled");
  });

  test('a step joins the network of a container, and the user namespace that owns it', async () => {
    const id = await start(daemon, waiting());
    const inside = (await execIn(daemon, id, ['readlink', '/proc/self/ns/net'])).stdout;
    const image = await buildOk(
      daemon.api,
      { Dockerfile: 'FROM busybox\nRUN readlink /proc/self/ns/net >/net; ls /sys/class/net | wc -l >>/net' },
      { networkmode: `container:${id}`, nocache: '1' },
    );
    expect(await outputOf(daemon, 'cat /net', { Image: image })).toBe(`${inside}2`);
    expect((await inspect(daemon, id)).State.Running).toBe(true);
    await remove(daemon, id);
  });
});

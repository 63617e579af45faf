import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { create, outputOf, remove, runToEnd, sh } from '#test/helpers/containers.ts';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { needs } from '#test/helpers/needs.ts';
import { type PrivateEtc, remappedRoot, remappedUser, startPrivateEtc } from '#test/helpers/private-etc.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'crun', 'runc');

interface Place {
  readonly name: string;
  readonly isRemapped: boolean;
}

for (const { name, isRemapped } of [
  { name: 'of the host', isRemapped: false },
  { name: 'in a user namespace', isRemapped: true },
] satisfies Place[]) {
  describe(`devices that files describe, ${name}`, () => {
    let folder: string;
    let etc: PrivateEtc | undefined;
    let daemon: TestDaemon;
    const file = (path: string): string => join(folder, path);

    beforeAll(async () => {
      folder = await mkdtemp('/tmp/berth-f-');
      chmodSync(folder, 0o755);
      mkdirSync(file('cdi'));
      mkdirSync(file('lib'));
      writeFileSync(file('lib/driver'), 'driver\n');
      writeFileSync(file('hook'), `#!/bin/sh\ncat >${file('hooked')}.$1\n`, { mode: 0o755 });
      writeFileSync(
        file('cdi/vendor.json'),
        JSON.stringify({
          cdiVersion: '0.6.0',
          kind: 'vendor.com/thing',
          containerEdits: {
            env: ['VENDOR=yes'],
            mounts: [{ hostPath: file('lib'), containerPath: '/opt/vendor', options: ['ro', 'rbind'] }],
          },
          devices: [
            { name: 'null', containerEdits: { deviceNodes: [{ path: '/dev/thing0', hostPath: '/dev/null' }], env: ['THING=0'] } },
            {
              name: 'full',
              containerEdits: { deviceNodes: [{ path: '/dev/thing1', hostPath: '/dev/full', permissions: 'r' }], additionalGids: [123] },
            },
            { name: 'hooked', containerEdits: { hooks: [{ hookName: 'prestart', path: file('hook'), args: ['hook', 'before'] }] } },
            { name: 'gone', containerEdits: { deviceNodes: [{ path: '/dev/no-such-device' }] } },
          ],
        }),
      );
      writeFileSync(
        file('cdi/gpu.yaml'),
        'cdiVersion: "0.5.0"\nkind: nvidia.com/gpu\ndevices:\n- name: all\n  containerEdits:\n    env: ["GPUS=all"]\n- name: "0"\n  containerEdits:\n    env: ["GPU=0"]\n',
      );
      etc = isRemapped ? await startPrivateEtc() : undefined;
      daemon = await startDaemon({
        args: ['--cdi-spec-dir', file('cdi'), ...(isRemapped ? ['--userns-remap', remappedUser.name] : [])],
        ...(etc === undefined ? {} : { besideProcess: etc.pid, remappedRoot }),
      });
    }, 60_000);
    afterAll(async () => {
      await daemon?.[Symbol.asyncDispose]();
      await etc?.[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    }, 60_000);

    for (const Runtime of ['crun', 'runc']) {
      const cdi = (...names: readonly string[]) => ({
        HostConfig: { Runtime, DeviceRequests: [{ Driver: 'cdi', DeviceIDs: names.map(each => `vendor.com/thing=${each}`) }] },
      });

      test(`nodes, variables, groups and mounts, with ${Runtime}`, async () => {
        const script =
          'stat -c %t:%T /dev/thing0 /dev/thing1; echo $VENDOR $THING; id -G; cat /opt/vendor/driver; touch /opt/vendor/x 2>/dev/null || echo read-only; echo x >/dev/thing0 && echo wrote';
        const seen = await outputOf(daemon, script, cdi('null', 'full'));
        expect(seen.split('\n')).toEqual(['1:3', '1:7', 'yes 0', '0 123', 'driver', 'read-only', 'wrote']);
      });

      test(`hooks are told of the container, with ${Runtime}`, async () => {
        rmSync(file('hooked.before'), { force: true });
        const { id, exitCode } = await runToEnd(daemon, sh('true', cdi('hooked')));
        expect(exitCode).toBe(0);
        expect(JSON.parse(readFileSync(file('hooked.before'), 'utf8'))).toMatchObject({ id });
      });
    }

    test('GPUs are the devices of their vendor', async () => {
      const gpus = (more: object) => ({ HostConfig: { DeviceRequests: [{ Capabilities: [['gpu']], ...more }] } });
      expect(await outputOf(daemon, 'echo $GPUS', gpus({ Count: -1 }))).toBe('all');
      expect(await outputOf(daemon, 'echo $GPU', gpus({ DeviceIDs: ['0'] }))).toBe('0');
    });

    const refusal = async (...ids: readonly string[]): Promise<unknown> => {
      const id = await create(daemon, sh('true', { HostConfig: { DeviceRequests: [{ Driver: 'cdi', DeviceIDs: ids }] } }));
      const { status, json } = await daemon.api.post<{ message: string }>(`/containers/${id}/start`);
      await remove(daemon, id);
      return [status, json.message];
    };

    test('what is not described, or not there, is named', async () => {
      expect(await refusal('vendor.com/thing=null', 'vendor.com/thing=5', 'other.com/x=1')).toEqual([
        400,
        'CDI device injection failed: unresolvable CDI devices vendor.com/thing=5, other.com/x=1',
      ]);
      expect(await refusal('vendor.com/thing=gone')).toEqual([
        400,
        'CDI device injection failed: failed to stat CDI host device "/dev/no-such-device": no such file or directory',
      ]);
    });

    test('info lists them', async () => {
      const info = await daemon.api.expect<{ CDISpecDirs: string[]; DiscoveredDevices: { Source: string; ID: string }[] }>('GET', '/info');
      expect(info.CDISpecDirs).toEqual([file('cdi')]);
      expect(info.DiscoveredDevices.map(({ ID }) => ID)).toEqual([
        'nvidia.com/gpu=0',
        'nvidia.com/gpu=all',
        ...['full', 'gone', 'hooked', 'null'].map(each => `vendor.com/thing=${each}`),
      ]);
      expect(new Set(info.DiscoveredDevices.map(({ Source }) => Source))).toEqual(new Set(['cdi']));
    });
  });
}

describe('without descriptions of devices', () => {
  test('nobody serves them', async () => {
    await using daemon = await startDaemon({ busybox: true });
    await daemon.stop();
    writeFileSync(join(daemon.folder, 'daemon.json'), JSON.stringify({ features: { cdi: false } }));
    await daemon.start();
    expect((await daemon.api.expect<{ CDISpecDirs: string[] }>('GET', '/info')).CDISpecDirs).toEqual([]);
    const id = await create(daemon, sh('true', { HostConfig: { DeviceRequests: [{ Driver: 'cdi', DeviceIDs: ['v/c=x'] }] } }));
    const { json } = await daemon.api.post<{ message: string }>(`/containers/${id}/start`);
    expect(json.message).toBe('could not select device driver "cdi" with capabilities: []');
  }, 60_000);
});

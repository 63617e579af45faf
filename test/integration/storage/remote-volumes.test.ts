import { chmod, chown } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'bun:test';
import { create, outputOf, remove, sh, sharedDaemon } from '#test/helpers/containers.ts';
import { startNfsServer } from '#test/helpers/nfs-server.ts';
import { mountsBelow } from '#test/helpers/machine.ts';
import { needs } from '#test/helpers/needs.ts';

// Where neither is loaded no daemon needs to be started.
const { describe } = needs('root', 'conmon', 'nft', 'file-servers', 'nfs-server', 'cifs');

/** What the kernel needs for it are modules that few machines have loaded: this runs in the virtual machine. */
describe('volumes on other machines', () => {
  const daemon = sharedDaemon();
  const { test: nfs } = needs('file-servers', 'nfs-server');
  const { test: cifs } = needs('cifs');
  const volume = (Name: string, DriverOpts: object) => daemon().api.expect('POST', '/volumes/create', { body: { Name, DriverOpts } });
  const mounted = (): string[] => mountsBelow(join(daemon().dataRoot, 'volumes'));
  const refusalOf = async (name: string): Promise<string> => {
    const id = await create(daemon(), sh('true', { HostConfig: { Binds: [`${name}:/data:nocopy`] } }));
    const { json } = await daemon().api.call<{ message: string }>('POST', `/containers/${id}/start`);
    await remove(daemon(), id);
    return json.message;
  };

  nfs('NFS: by address and by name, written and read, with the owner', async () => {
    await using server = await startNfsServer();
    await Bun.write(join(server.path, 'greeting'), 'from the server');
    await chown(join(server.path, 'greeting'), 1000, 1001);
    await chmod(server.path, 0o777);
    await volume('by-address', { type: 'nfs', device: ':/', o: 'addr=127.0.0.1,nfsvers=4.2,rw' });
    await volume('by-name', { type: 'nfs', device: ':/', o: 'addr=localhost,nfsvers=4.2,ro' });
    await volume('nothing', { type: 'nfs', device: ':/missing', o: 'addr=127.0.0.1,nfsvers=4.2' });
    const script = 'cat /data/greeting; stat -c " %u:%g" /data/greeting; echo written >/data/answer';
    expect(await outputOf(daemon(), script, { HostConfig: { Binds: ['by-address:/data'] } })).toBe('from the server 1000:1001');
    expect(await Bun.file(join(server.path, 'answer')).text()).toBe('written\n');
    const read = 'cat /data/answer; echo x 2>/dev/null >/data/answer || echo frozen';
    expect(await outputOf(daemon(), read, { HostConfig: { Binds: ['by-name:/data'] } })).toBe('written\nfrozen');
    expect(await refusalOf('nothing')).toContain('no such file or directory');
    expect(mounted()).toEqual([]);
    for (const name of ['by-address', 'by-name', 'nothing']) await daemon().api.expect('DELETE', `/volumes/${name}`, { status: 204 });
    expect(await Bun.file(join(server.path, 'answer')).exists()).toBe(true);
  });

  cifs('CIFS: the server is in the device, by name too, and no error tells the password', async () => {
    const o = 'username=somebody,password=open-sesame,vers=3.1.1';
    await volume('by-name', { type: 'cifs', device: '//localhost/share', o });
    await volume('nowhere', { type: 'cifs', device: '//no-such-host.invalid/share', o });
    // Nobody listens there; without an address the kernel would call the argument invalid.
    const refused = await refusalOf('by-name');
    expect(refused).toContain('connection refused');
    expect(refused).toContain('username=somebody,password=********,vers=3.1.1');
    expect(refused).not.toContain('sesame');
    expect(await refusalOf('nowhere')).toContain("error resolving the address of a volume's server: no-such-host.invalid");
    expect(mounted()).toEqual([]);
    for (const name of ['by-name', 'nowhere']) await daemon().api.expect('DELETE', `/volumes/${name}`, { status: 204 });
  });
});

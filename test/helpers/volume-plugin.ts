import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { eventually } from './eventually.ts';

export interface VolumePlugin extends AsyncDisposable {
  readonly folder: string;
  /** `volume user` for each mount it was told of and no unmount since. */
  mounts(): string[];
  volumes(): string[];
  behave(how: { readonly refuse?: string; readonly hang?: string; readonly die?: string }): Promise<void>;
  /** Ends it as a crash would; its data and its socket's file stay. */
  kill(): Promise<void>;
  start(): Promise<void>;
}

/** A small real volume plugin in a process of its own, listening at `socket`, with its data in `folder`. */
export async function startVolumePlugin(socket: string, folder: string): Promise<VolumePlugin> {
  mkdirSync(dirname(socket), { recursive: true });
  mkdirSync(folder, { recursive: true });
  let child: Bun.Subprocess | undefined;
  const kill = async (): Promise<void> => {
    child?.kill('SIGKILL');
    await child?.exited;
  };
  const plugin: VolumePlugin = {
    folder,
    mounts: () => readdirSync(join(folder, 'mounts')),
    volumes: () => readdirSync(join(folder, 'volumes')),
    behave: async how => void (await Bun.write(join(folder, 'behave.json'), JSON.stringify(how))),
    kill,
    async start() {
      rmSync(socket, { force: true });
      child = Bun.spawn([process.execPath, join(import.meta.dirname, 'volume-plugin-process.ts'), socket, folder], {
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      await eventually('the plugin listens', () => existsSync(socket));
    },
    async [Symbol.asyncDispose]() {
      await kill();
      rmSync(socket, { force: true });
    },
  };
  await plugin.start();
  return plugin;
}

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { eventually } from './eventually.ts';
import { run } from './run.ts';

export interface PluginCall {
  readonly method: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface PluginState {
  readonly networks: readonly string[];
  readonly endpoints: Readonly<Record<string, 'made' | 'joined'>>;
  readonly pools: Readonly<Record<string, { readonly uses: number; readonly taken: readonly string[] }>>;
  readonly allocated: readonly string[];
  readonly published: readonly string[];
}

/** What a plugin has that has nothing. */
export const emptyPlugin: PluginState = { networks: [], endpoints: {}, pools: {}, allocated: [], published: [] };

export interface NetworkPlugin extends AsyncDisposable {
  state(): PluginState;
  /** What it was asked, since it was last asked this. */
  calls(): PluginCall[];
  behave(how: Readonly<Record<string, unknown>>): Promise<void>;
  /** Ends it as a crash would; what it has and its socket's file stay. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** To be called while it does not run: it has kept nothing of addresses. */
  forgetPools(): void;
}

/** A small real plugin for networks and addresses in a process of its own, listening at `socket`, with what it has in `folder`. */
export async function startNetworkPlugin(
  socket: string,
  folder: string,
  /** A process in whose namespaces it lives, and the socket. */
  besideProcess?: number,
): Promise<NetworkPlugin> {
  const beside = besideProcess === undefined ? [] : ['nsenter', `--target=${String(besideProcess)}`, '--net', '--mount'];
  const root = besideProcess === undefined ? '' : `/proc/${String(besideProcess)}/root`;
  mkdirSync(dirname(root + socket), { recursive: true });
  mkdirSync(folder, { recursive: true });
  let child: Bun.Subprocess | undefined;
  let seen = 0;
  const read = (name: string): string => {
    const file = join(folder, name);
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  };
  const plugin: NetworkPlugin = {
    state: () => JSON.parse(read('state.json')) as PluginState,
    calls() {
      const all = read('calls.jsonl')
        .trim()
        .split('\n')
        .filter(line => line !== '');
      const added = all.slice(seen);
      seen = all.length;
      return added.map(line => JSON.parse(line) as PluginCall);
    },
    behave: async how => void (await Bun.write(join(folder, 'behave.json'), JSON.stringify(how))),
    async kill() {
      child?.kill('SIGKILL');
      await child?.exited;
    },
    async start() {
      await plugin.kill();
      rmSync(root + socket, { force: true });
      child = Bun.spawn([...beside, process.execPath, join(import.meta.dirname, 'network-plugin-process.ts'), socket, folder], {
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      await eventually('the plugin listens', () => existsSync(root + socket));
    },
    forgetPools: () => writeFileSync(join(folder, 'state.json'), JSON.stringify({ ...plugin.state(), pools: {} })),
    async [Symbol.asyncDispose]() {
      await plugin.kill();
      rmSync(root + socket, { force: true });
      // What a failed test leaves would disturb the next one.
      const left = /** As in the process. */ /^\d+: (n[pv][0-9a-f]{10})[@:]/gm;
      for (const [, name = ''] of (await run(['ip', '-o', 'link'])).stdout.matchAll(left)) await run(['ip', 'link', 'delete', name]);
    },
  };
  await plugin.start();
  return plugin;
}

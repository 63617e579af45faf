import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A volume plugin as others write them: `bun volume-plugin-process.ts SOCKET FOLDER`. Volumes are directories in FOLDER/volumes; who has what mounted is kept in
 * FOLDER/mounts, a file for each. What a test puts into FOLDER/behave.json changes it: {"refuse": "Mount"}, {"hang": "Mount"}, {"die": "Mount"}.
 */
const [socket = '', folder = ''] = process.argv.slice(2);
const [volumes, mounts] = [join(folder, 'volumes'), join(folder, 'mounts')];
for (const directory of [volumes, mounts]) mkdirSync(directory, { recursive: true });

interface Body {
  readonly Name?: string;
  readonly ID?: string;
  readonly Opts?: Readonly<Record<string, string>> | null;
}

const behaviour = (): { refuse?: string; hang?: string; die?: string } => {
  const file = join(folder, 'behave.json');
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as object) : {};
};
const path = (name: string): string => join(volumes, name);
const isMounted = (name: string): boolean => readdirSync(mounts).some(entry => entry.startsWith(`${name} `));
const describe = (name: string) => ({
  Name: name,
  Mountpoint: isMounted(name) ? path(name) : '',
  Status: { users: readdirSync(mounts).length },
});

const methods: Readonly<Record<string, (body: Body) => object>> = {
  Create({ Name = '', Opts }) {
    mkdirSync(path(Name));
    writeFileSync(join(folder, `options-${Name}.json`), JSON.stringify(Opts ?? {}));
    return {};
  },
  Remove({ Name = '' }) {
    if (!existsSync(path(Name))) throw new Error(`there is no ${Name}`);
    if (isMounted(Name)) throw new Error(`${Name} is mounted`);
    rmSync(path(Name), { recursive: true });
    return {};
  },
  Mount({ Name = '', ID = '' }) {
    writeFileSync(join(mounts, `${Name} ${ID}`), '');
    return { Mountpoint: path(Name) };
  },
  Unmount({ Name = '', ID = '' }) {
    rmSync(join(mounts, `${Name} ${ID}`), { force: true });
    return {};
  },
  Path: ({ Name = '' }) => ({ Mountpoint: describe(Name).Mountpoint }),
  Get({ Name = '' }) {
    if (!existsSync(path(Name))) throw new Error('no such volume');
    return { Volume: describe(Name) };
  },
  List: () => ({ Volumes: readdirSync(volumes).map(describe) }),
  Capabilities: () => ({ Capabilities: { Scope: 'global' } }),
};

Bun.serve({
  unix: socket,
  async fetch(request) {
    const method = new URL(request.url).pathname.slice(1);
    if (method === 'Plugin.Activate') return Response.json({ Implements: ['VolumeDriver'] });
    const name = method.replace('VolumeDriver.', '');
    const { refuse, hang, die } = behaviour();
    if (die === name) process.exit(1);
    if (hang === name) await Bun.sleep(60_000);
    try {
      if (refuse === name) throw new Error(`${name} is refused today`);
      const body = (await request.json()) as Body;
      return Response.json({ Err: '', ...methods[name]?.(body) });
    } catch (err) {
      return Response.json({ Err: err instanceof Error ? err.message : String(err) }, { status: 500 });
    }
  },
});

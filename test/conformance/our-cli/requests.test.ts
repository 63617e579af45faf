import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { join } from 'node:path';
import { tempFolder } from '#test/helpers/daemon.ts';
import { dockerCommand } from '#test/helpers/docker-cli.ts';
import { run } from '#test/helpers/run.ts';
import { linkedAsDocker } from './our-docker.ts';
import { splitWords } from './words.ts';

/** Commands whose first request is the same from both command lines: method, path, parameters and body. */
const commandLines: readonly string[] = [
  ...[
    'ps',
    'ps -a',
    'ps -s',
    'ps -n 3',
    'ps -l',
    'ps -f status=exited -f label=a=b',
    'images',
    'images -a',
    'images -f dangling=true',
    'images x',
  ],
  ...['logs x', 'logs -f x', 'logs --tail 3 -t --details x', 'logs --since 1700000000 --until 1700000001.5 x', 'top x', 'top x -o pid'],
  ...[
    'stop x',
    'stop -t 3 x',
    'stop -s INT x',
    'restart -t 3 x',
    'kill x',
    'kill -s HUP x',
    'pause x',
    'unpause x',
    'wait x',
    'rename x y',
  ],
  ...['rm x', 'rm -f x', 'rm -v x', 'rm -l x', 'start x', 'port x', 'attach x', 'inspect --type container -s x', 'inspect --type image x'],
  ...[
    'update -m 64m --cpus 2 --restart always x',
    'update --pids-limit 7 --memory-swap -1 x',
    'container inspect x',
    'exec x ls',
    'container prune -f',
  ],
  ...[
    'exec -d -e A=1 -w /x -u me --privileged x ls -l',
    'rmi x',
    'rmi -f --no-prune x',
    'tag x y:1',
    'history x',
    'save x',
    'save x y',
    'load -i %f/tar',
  ],
  ...['load -q -i %f/tar', 'import %f/tar x:1', 'import -c "CMD a" -m hello %f/tar', 'import http://127.0.0.1:1/x.tar', 'image prune -f'],
  ...[
    'image prune -af',
    'image prune -f --filter until=1h',
    'pull x',
    'pull -q x:1',
    'pull -a x',
    'push x',
    'push -a x',
    'search -f stars=3 x',
  ],
  ...[
    'network ls',
    'network ls -f driver=bridge',
    'network inspect x',
    'network inspect -v x',
    'network rm x',
    'network prune -f',
    'network create x',
  ],
  ...[
    'network create -d macvlan --subnet 10.0.0.0/24 --gateway 10.0.0.1 --ip-range 10.0.0.0/25 --aux-address a=10.0.0.9 -o a=b --label c=d x',
  ],
  ...['network create --internal --attachable --ipv6 --ingress --scope local x', 'network connect --ip 10.0.0.3 --alias a --link b:c n x'],
  ...[
    'network connect --driver-opt a=b --gw-priority 2 n x',
    'network disconnect -f n x',
    'volume ls',
    'volume ls -f dangling=true',
    'volume inspect x',
  ],
  ...[
    'volume create',
    'volume create -d local -o type=tmpfs --label a=b x',
    'volume rm x',
    'volume rm -f x',
    'volume prune -f',
    'volume prune -af',
  ],
  ...[
    'info',
    'version',
    'events --since 1700000000 --until 1700000001 -f type=container',
    'system df',
    'system df -v',
    'login -u a -p b x.example',
  ],
  ...[
    'system prune -f',
    'system prune -af --volumes',
    'run -d busybox',
    'create --name n busybox',
    'create --platform linux/amd64 busybox',
  ],
];

const shortNames = "an image goes by its short name, which means Docker Hub's to every daemon";
const oneLess = 'what could be known from a first request is known from the answer to the second';
const duplicates = 'CheckDuplicate is sent to every daemon: those before 1.44 need it, the others take no notice';

/** Where ours asks otherwise, and why. */
const differences: ReadonlyMap<string, string> = new Map([
  ...['tag x y:1', 'pull x', 'pull -q x:1', 'pull -a x', 'push x', 'push -a x'].map(line => [line, shortNames] as const),
  ...['exec x ls', 'exec -d -e A=1 -w /x -u me --privileged x ls -l', 'network rm x'].map(line => [line, oneLess] as const),
  ...commandLines.filter(line => line.startsWith('network create ')).map(line => [line, duplicates] as const),
  ['attach x', 'looks whether the container runs before it waits for its end'],
  ['wait x', 'names the condition that is meant when none is named'],
]);

describe('what commands ask of the daemon is what the stock command line asks', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  let server: Bun.Server<undefined>;
  let ours: string[];
  const asked: string[] = [];

  beforeAll(async () => {
    folder = await tempFolder();
    ours = await linkedAsDocker(folder.path);
    await Bun.write(join(folder.path, 'tar'), 'not really a tar archive');
    const headers = { 'Api-Version': '1.47', Ostype: 'linux' };
    server = Bun.serve({
      unix: join(folder.path, 'd.sock'),
      async fetch(request) {
        const url = new URL(request.url);
        if (url.pathname.endsWith('/_ping')) return new Response('OK', { headers });
        url.searchParams.sort();
        const filters = url.searchParams.get('filters');
        if (filters !== null) url.searchParams.set('filters', orderedJson(filters));
        if (url.searchParams.get('verbose') === 'true') url.searchParams.set('verbose', '1');
        asked.push(`${request.method} ${url.pathname}${url.search} ${orderedJson(await request.text())}`.trim());
        return Response.json({ message: 'nothing is here' }, { status: 404, headers });
      },
    });
  });
  afterAll(async () => {
    await server.stop(true);
    await folder[Symbol.asyncDispose]();
  });

  async function askedBy(command: readonly string[], line: string): Promise<string | undefined> {
    const env = { DOCKER_HOST: `unix://${folder.path}/d.sock`, DOCKER_CONFIG: folder.path, HOME: folder.path };
    await run([...command, ...splitWords(line.replaceAll('%f', folder.path))], { env });
    return asked.splice(0)[0];
  }

  test.each(commandLines.filter(line => !differences.has(line)).map(line => [line]))('docker %s', async line => {
    const theirs = await askedBy(dockerCommand(), line);
    expect(await askedBy(ours, line)).toEqual(theirs);
  });
});

/** JSON with its fields in order and without what is empty; other text as it is. */
function orderedJson(text: string): string {
  if (!text.startsWith('{')) return text;
  return JSON.stringify(ordered(JSON.parse(text)));
}

function ordered(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value)
    .map(([key, inner]) => [key, ordered(inner)] as const)
    .filter(([, inner]) => !isEmpty(inner));
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

const isEmpty = (value: unknown): boolean =>
  value === null || value === '' || value === 0 || value === false || (typeof value === 'object' && Object.keys(value).length === 0);

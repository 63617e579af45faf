import { afterAll, beforeAll, expect } from 'bun:test';
import { join } from 'node:path';
import { tempFolder } from '#test/helpers/daemon.ts';
import { dockerCommand } from '#test/helpers/docker-cli.ts';
import { needs } from '#test/helpers/needs.ts';
import { run } from '#test/helpers/run.ts';
import { createCases, refusedCases } from './create-cases.ts';
import { linkedAsDocker } from './our-docker.ts';
import { splitWords } from './words.ts';

// Older ones know fewer flags.
const { describe, test } = needs('docker-cli-28');

interface Sent {
  readonly query: string;
  readonly body: unknown;
}

/** Where ours means to be different, and why. */
const differences: ReadonlyMap<string, string> = new Map([
  ['--ip nonsense --network mine busybox', 'what is no address is refused at once, with the address named'],
  ['--expose abc busybox', 'says what a port is, not which function of another language failed'],
]);

/** Both command lines before a daemon that only writes down what it is asked to create. */
describe('what create sends is what the stock command line sends', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  let docker: string[];
  let server: Bun.Server<undefined>;
  const sent: Sent[] = [];

  beforeAll(async () => {
    folder = await tempFolder();
    docker = await linkedAsDocker(folder.path);
    await Bun.write(join(folder.path, 'env'), '# a comment\nA=1\nB=two words\nHOME\nNOT_SET_ANYWHERE\n');
    await Bun.write(join(folder.path, 'labels'), 'x=1\ny\n');
    const headers = { 'Api-Version': '1.51', Ostype: 'linux' };
    server = Bun.serve({
      unix: join(folder.path, 'd.sock'),
      async fetch(request) {
        const url = new URL(request.url);
        if (url.pathname.endsWith('/_ping')) return new Response('OK', { headers });
        if (request.method === 'POST' && url.pathname.endsWith('/containers/create')) {
          sent.push({ query: url.search, body: await request.json() });
          return Response.json({ Id: 'a'.repeat(64), Warnings: [] }, { status: 201, headers });
        }
        return Response.json({ message: `no ${request.method} ${url.pathname} here` }, { status: 404, headers });
      },
    });
  });
  afterAll(async () => {
    await server.stop(true);
    await folder[Symbol.asyncDispose]();
  });

  async function sentBy(command: readonly string[], line: string): Promise<unknown> {
    const words = splitWords(line.replaceAll('%f', folder.path));
    const env = { DOCKER_HOST: `unix://${folder.path}/d.sock`, DOCKER_CONFIG: folder.path, HOME: '/root' };
    const { exitCode, stdout, stderr } = await run([...command, 'create', ...words], { env });
    const [request] = sent.splice(0);
    return { exitCode, stdout, stderr: stderr, query: request?.query, body: withoutEmpty(request?.body) };
  }

  const compared = [...createCases, ...refusedCases].filter(line => !differences.has(line));
  test.each(compared.map(line => [line]))('create %s', async line => {
    const theirs = await sentBy(dockerCommand(), line);
    expect(await sentBy(docker, line)).toEqual(theirs);
  });
});

/** What is empty means the same as what is not there, at any depth. The stock one sends some lists in an order that changes from run to run. */
function withoutEmpty(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value)
    .map(([key, inner]) => [key, unordered.has(key) && Array.isArray(inner) ? inner.toSorted(byText) : withoutEmpty(inner)] as const)
    .filter(([, inner]) => !isEmpty(inner));
  return Object.fromEntries(entries);
}

const unordered = new Set(['Binds', 'Env', 'Ulimits']);
const byText = (a: unknown, b: unknown): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

const isEmpty = (value: unknown): boolean =>
  value === null ||
  value === undefined ||
  value === '' ||
  value === 0 ||
  value === false ||
  (typeof value === 'object' && Object.keys(value).length === 0);

import { afterAll, beforeAll, expect } from 'bun:test';
import { buildOk, type Context, directory, file } from '#test/helpers/build.ts';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { type Dockerd, startDockerd } from '#test/helpers/dockerd.ts';
import type { ApiClient } from '#test/helpers/http.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'dockerd');

const lines = (...text: string[]): string => `${text.join('\n')}\n`;

/** Dockerfiles that the classic builder knows all instructions of. */
const cases: readonly (readonly [name: string, context: Context])[] = [
  [
    'configuration only',
    {
      Dockerfile: lines(
        'FROM busybox',
        'MAINTAINER somebody',
        'ENV A=1 B="two words" C=$A',
        'LABEL x=y "a b"=c',
        'EXPOSE 80 53/udp',
        'VOLUME ["/data"]',
        'USER 7:8',
        'STOPSIGNAL SIGINT',
        'HEALTHCHECK --interval=5s --retries=2 CMD true',
        'SHELL ["/bin/sh", "-ec"]',
        'ENTRYPOINT echo entry',
        'CMD ["a", "b"]',
        'ONBUILD RUN echo later',
      ),
    },
  ],
  [
    'commands and directories',
    {
      Dockerfile: lines(
        'FROM busybox',
        'ARG V=value',
        'WORKDIR /work/here',
        'RUN echo $V > made; mkdir -p deep/er; ln -s made link; ln made hard; chmod 4711 made; rm /etc/group',
        'RUN true',
        'RUN rm -r deep && mkdir deep && touch deep/new',
        'WORKDIR relative',
        'RUN pwd > /pwd',
      ),
    },
  ],
  [
    'files',
    [
      file(
        'Dockerfile',
        lines(
          'FROM busybox AS first',
          'COPY tree /plain',
          'COPY tree/ /slash/',
          'COPY tree/a tree/sub /several/',
          'COPY tree/a /renamed',
          'COPY tree/* /wild/',
          'COPY --chown=5:6 tree /owned/',
          'COPY . /all/',
          'FROM busybox',
          'COPY --from=first /plain/sub /plain/a /from/',
          'COPY --from=first /owned /kept/',
          'ADD tree/a /etc/',
        ),
      ),
      directory('tree', { mode: 0o750 }),
      file('tree/a', 'a', { mode: 0o640, uid: 9, gid: 9 }),
      { entry: { name: 'tree/link', type: 'symlink', linkName: 'a' } },
      directory('tree/sub', { mode: 0o700 }),
      file('tree/sub/b', 'b', { mode: 0o755 }),
    ],
  ],
];

describe('the same Dockerfile, by dockerd and by Berth', () => {
  const berth = sharedDaemon({ comparesMachine: false });
  let dockerd: Dockerd;
  beforeAll(async () => {
    dockerd = await startDockerd();
  }, 60_000);
  afterAll(async () => {
    await dockerd[Symbol.asyncDispose]();
  }, 60_000);

  test.each(cases)('%s', async (_name, context) => {
    const [ours, theirs] = await Promise.all([describeImage(berth().api, context), describeImage(dockerd.api, context)]);
    expect(ours.config).toEqual(theirs.config);
    expect(ours.history).toEqual(theirs.history);
    expect(ours.files).toEqual(theirs.files);
  });
});

interface Described {
  readonly config: Record<string, unknown>;
  /** Of each entry, whether it stands for a layer that changes something. */
  readonly history: readonly boolean[];
  readonly files: readonly string[];
}

async function describeImage(api: ApiClient, context: Context): Promise<Described> {
  const id = await buildOk(api, context);
  const { Config } = await api.expect<{ Config: Record<string, unknown> }>('GET', `/images/${id}/json`);
  const history = await api.expect<{ Size: number; CreatedBy: string }[]>('GET', `/images/${id}/history`);
  // BuildKit, whose history Berth writes, does not tell of triggers.
  const told = history.filter(({ CreatedBy }) => !CreatedBy.includes('ONBUILD'));
  return { config: comparable(Config), history: told.map(({ Size }) => Size > 0), files: await filesOf(api, id) };
}

/** What an image says of how to run it; the classic builder also leaves traces of its last intermediate container. */
function comparable(config: Record<string, unknown>): Record<string, unknown> {
  const ignored = [
    'Hostname',
    'Image',
    'Domainname',
    'AttachStdin',
    'AttachStdout',
    'AttachStderr',
    'Tty',
    'OpenStdin',
    'StdinOnce',
    'ArgsEscaped',
  ];
  const said = Object.entries(config).filter(([key, value]) => !ignored.includes(key) && value !== null && value !== '');
  return Object.fromEntries(said.filter(([, value]) => typeof value !== 'object' || Object.keys(value as object).length > 0));
}

/** Every file of a container's root with mode, owner and links, without what the engine puts there. */
async function filesOf(api: ApiClient, image: string): Promise<string[]> {
  const script =
    'find / -xdev \\( -path /proc -o -path /dev -o -path /sys -o -path /etc/hosts -o -path /etc/hostname -o -path /etc/resolv.conf -o -path /etc/mtab -o -path /.dockerenv \\) -prune -o -exec stat -c "%n %A %u:%g %h %s %N" {} + | grep -v "^/ "';
  const { Id } = await api.expect<{ Id: string }>('POST', '/containers/create', {
    body: {
      Image: image,
      Entrypoint: ['/bin/sh', '-c', script],
      Cmd: [],
      User: '0',
      HostConfig: { NetworkMode: 'none' },
      Healthcheck: { Test: ['NONE'] },
    },
  });
  await api.expect('POST', `/containers/${Id}/start`);
  await api.expect('POST', `/containers/${Id}/wait`);
  const answer = await api.open('GET', `/containers/${Id}/logs?stdout=1`);
  const bytes = Buffer.from(await answer.arrayBuffer());
  const text: string[] = [];
  for (let at = 0; at + 8 <= bytes.length; at += 8 + bytes.readUInt32BE(at + 4))
    text.push(bytes.subarray(at + 8, at + 8 + bytes.readUInt32BE(at + 4)).toString());
  await api.expect('DELETE', `/containers/${Id}?force=1&v=1`);
  return text
    .join('')
    .split('\n')
    .filter(line => line !== '')
    .map(line => (line.includes(' d') ? line.replace(/ \d+ \d+ '/, " '") : line))
    .sort();
}

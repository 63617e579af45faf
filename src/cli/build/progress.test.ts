import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonMessage } from '#api/types/image.ts';
import { parseDockerfile } from '#builder/dockerfile/parse.ts';
import { Output } from '../output/terminal.ts';
import { ClassicStream } from './classic-stream.ts';
import { showFailure } from './failure.ts';
import { PlainDisplay } from './plain-display.ts';
import { RawDisplay } from './raw-display.ts';
import type { Display } from './status.ts';

const id = `sha256:${'a'.repeat(64)}`;

const good: readonly JsonMessage[] = [
  { stream: 'Step 1/3 : FROM busybox AS base' },
  { stream: '\n' },
  { status: 'Pulling fs layer', progressDetail: {}, id: 'f5b7ce95afea' },
  { status: 'Downloading', progressDetail: { current: 100, total: 2000 }, id: 'f5b7ce95afea' },
  { status: 'Pull complete', progressDetail: {}, id: 'f5b7ce95afea' },
  { stream: ' ---> ca2de3f5d123\n' },
  { stream: 'Step 2/3 : RUN echo one; printf two' },
  { stream: '\n' },
  { stream: ' ---> Running in 387bb10656ff\n' },
  { stream: 'one\n' },
  { stream: '\u001b[91mto err\n\u001b[0m' },
  { stream: 'two' },
  { stream: ' ---> Removed intermediate container 387bb10656ff\n' },
  { stream: ' ---> 0123456789ab\n' },
  { stream: 'Step 3/3 : CMD ["x"]' },
  { stream: '\n' },
  { stream: ' ---> Using cache\n' },
  { stream: ' ---> 0123456789ac\n' },
  { aux: { ID: id } },
  { stream: 'Successfully built aaaaaaaaaaaa\n' },
  { stream: 'Successfully tagged x:latest\n' },
];

describe('progress of a build', () => {
  let folder: string;
  let out: Output;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'berth-progress-'));
    out = new Output(openSync(join(folder, 'out'), 'w'));
  });
  afterEach(() => {
    closeSync(out.fd);
    rmSync(folder, { recursive: true });
  });

  const written = (): string =>
    readFileSync(join(folder, 'out'), 'utf8')
      .replace(/ \d+\.\d+s(?= done)/g, '')
      .replace(/\d+\.\d+(?=s\b| )/g, '<time>');

  function play(display: Display, messages: readonly JsonMessage[]): ClassicStream {
    const stream = new ClassicStream(update => display.update(update));
    for (const message of messages) stream.read(message);
    stream.end();
    display.finish();
    return stream;
  }

  test('plain: numbered steps, their output, what was cached', () => {
    const stream = play(new PlainDisplay(out), good);
    expect(stream).toMatchObject({ imageId: id, failure: undefined });
    expect(written()).toBe(`#1 [1/3] FROM busybox AS base
#1 f5b7ce95afea Pull complete done
#1 DONE <time>s

#2 [2/3] RUN echo one; printf two
#2 <time> one
#2 <time> to err
#2 <time> two
#2 DONE <time>s

#3 [3/3] CMD ["x"]
#3 CACHED

#4 exporting to image
#4 writing image ${id} done
#4 naming to x:latest done
#4 DONE <time>s

`);
  });

  test('rawjson: one object a line, bytes in base64', () => {
    play(new RawDisplay(out), good);
    const lines = readFileSync(join(folder, 'out'), 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, object[]>);
    const logs = lines.flatMap(line => line.logs ?? []) as { stream: number; data: string; vertex: string }[];
    expect(logs.map(({ vertex, stream, data }) => [vertex, stream, Buffer.from(data, 'base64').toString()])).toEqual([
      ['step-2', 1, 'one\n'],
      ['step-2', 2, 'to err\n'],
      ['step-2', 1, 'two'],
    ]);
    const last = new Map(lines.flatMap(line => line.vertexes ?? []).map(vertex => [(vertex as { digest: string }).digest, vertex]));
    expect([...last.values()]).toMatchObject([
      { name: '[1/3] FROM busybox AS base' },
      {},
      { cached: true },
      { name: 'exporting to image' },
    ]);
    for (const vertex of last.values()) expect(vertex).toHaveProperty('completed');
  });

  test('a quiet build says only the id', () => {
    expect(play({ update: () => undefined, finish: () => undefined }, [{ stream: `${id}\n` }]).imageId).toBe(id);
  });

  test('a step that fails: its last lines, its place in the file, the reason', () => {
    const messages: JsonMessage[] = [
      { stream: 'Step 1/2 : FROM busybox' },
      { stream: ' ---> ca2de3f5d123\n' },
      { stream: 'Step 2/2 : RUN  false' },
      { stream: ' ---> Running in 387bb10656ff\n' },
      { stream: 'what a pity\n' },
      { errorDetail: { code: 3, message: "The command '/bin/sh -c false' returned a non-zero code: 3" }, error: 'x' },
    ];
    const { failure, imageId } = play({ update: () => undefined, finish: () => undefined }, messages);
    expect(imageId).toBeUndefined();
    expect(failure).toMatchObject({ exitCode: 3 });
    if (failure !== undefined) showFailure(out, failure, parseDockerfile('FROM busybox\nRUN false\n'));
    expect(written()).toBe(`------
 > [2/2] RUN  false:
what a pity
------
Dockerfile:2
--------------------
   1 |     FROM busybox
   2 | >>> RUN false
   3 |     ${''}
--------------------
ERROR: failed to build: failed to solve: process "/bin/sh -c false" did not complete successfully: exit code: 3
`);
  });

  test('what a command writes is no message of the daemon', () => {
    const stream = play(new PlainDisplay(out), [
      { stream: 'Step 1/1 : RUN x' },
      { stream: ' ---> Using cache of mine\n' },
      { stream: 'Successfully built nothing\n' },
      { error: 'lost' },
    ]);
    expect(stream.failure).toMatchObject({ message: 'lost', exitCode: 0 });
    expect(written()).toContain('#1 <time>  ---> Using cache of mine\n#1 <time> Successfully built nothing\n#1 ERROR: lost\n');
  });
});

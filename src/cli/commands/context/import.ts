import { readFileSync } from 'node:fs';
import { messageOf } from '#base/errors.ts';
import { defineCommand, exactArgs } from '../../command.ts';
import {
  checkContextName,
  type ContextMeta,
  ContextStore,
  type TlsContents,
  type TlsFileName,
  tlsFileNames,
} from '../../config/contexts.ts';
import { ExitError } from '../../errors.ts';
import { readArchive } from './archive.ts';

export const command = defineCommand({
  usage: 'CONTEXT FILE|-',
  names: ['context import'],
  short: 'Create a context from an archive',
  args: exactArgs(2),
  flags: {},
  async run(cli, { args }) {
    const [name = '', source = ''] = args;
    checkContextName(name);
    const store = new ContextStore(cli);
    if (store.has(name)) throw new ExitError(1, `context ${JSON.stringify(name)} already exists`);
    const { meta, tls } = await read(source);
    store.write({ ...meta, Name: name });
    store.writeTls(name, tls);
    cli.out.line(name);
    cli.err.line(`Successfully imported context ${JSON.stringify(name)}`);
  },
});

async function read(source: string): Promise<{ meta: ContextMeta; tls: TlsContents }> {
  try {
    const bytes = source === '-' ? new Uint8Array(await new Response(Bun.stdin.stream()).arrayBuffer()) : readFileSync(source);
    const files = readArchive(bytes);
    const meta = files.find(({ path }) => path === 'meta.json');
    if (meta === undefined) throw new Error('invalid context: no meta.json in the archive');
    const tls: TlsContents = {};
    for (const { path, contents } of files) {
      const file = /^tls\/docker\/([^/]+)$/.exec(path)?.[1];
      // Only the names that a context knows are written: an archive chooses no other.
      if (file !== undefined && (tlsFileNames as readonly string[]).includes(file)) tls[file as TlsFileName] = contents;
    }
    return { meta: JSON.parse(Buffer.from(meta.contents).toString()) as ContextMeta, tls };
  } catch (err) {
    throw new ExitError(1, `cannot import ${source}: ${messageOf(err)}`, { cause: err });
  }
}

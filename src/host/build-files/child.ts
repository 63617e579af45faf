import { closeSync, openSync } from 'node:fs';
import { isErrno, kindOf, messageOf, resourceExhausted } from '#base/errors.ts';
import type { LayerFiles, PackedLayer } from '#core/build-files.ts';
import { layerTar, type LayerTarTotals } from '#host/snapshots/diff/layer-tar.ts';
import { RecipeWriter } from '#host/snapshots/layer-tar/recipe.ts';
import { writeFully } from '#host/sys/fs.ts';
import { endWithParent } from '#host/sys/parent.ts';
import { parseDigest } from '#oci/digest.ts';
import { decodeName } from '#oci/tar/names.ts';
import { applyChange } from './change.ts';
import { copyFiles, makeTargetDirectory } from './copy.ts';
import { digestOf } from './digest.ts';
import type { FileJob, FileJobAnswer, FileJobResults } from './job.ts';
import { mirror } from './mirror.ts';
import { select } from './selection.ts';

/** The process for file work: reads jobs from stdin, does one after the other, writes the answers to stdout. Ends with its input or with the daemon. */
export async function fileJobs(parentPid: number): Promise<void> {
  endWithParent(parentPid);
  process.umask(0);
  let unread = '';
  const decoder = new TextDecoder();
  for await (const chunk of Bun.stdin.stream()) {
    const lines = (unread + decoder.decode(chunk, { stream: true })).split('\n');
    unread = lines.pop() ?? '';
    for (const line of lines) writeFully(1, new TextEncoder().encode(`${JSON.stringify(answer(JSON.parse(line) as FileJob))}\n`));
  }
}

function answer(job: FileJob): FileJobAnswer {
  try {
    return { ok: true, result: work(job) };
  } catch (err) {
    const explained = isErrno(err, 'ENOSPC', 'EDQUOT')
      ? resourceExhausted(`no space left on device: ${messageOf(err)}`, { cause: err })
      : err;
    return { ok: false, kind: kindOf(explained), message: messageOf(explained) };
  }
}

function work(job: FileJob): FileJobResults[keyof FileJobResults] {
  switch (job.kind) {
    case 'digest':
      return digestOf(job.sources);
    case 'files':
      return job.sources.flatMap(select).flatMap(({ stats, path }) => (stats.isFile() ? [decodeName(path)] : []));
    case 'copy': {
      const archives = new Set(job.archives);
      copyFiles(job.sources, job.target, ({ path }) => archives.has(decodeName(path)));
      return null;
    }
    case 'directory':
      return makeTargetDirectory(job.target);
    case 'change':
      applyChange(job.root, job.change);
      return null;
    case 'mirror':
      mirror(job.model, job.root);
      return null;
    case 'pack':
      return pack(job.layer);
  }
}

function pack({ idMap, tarPath, recipePath, latestSeconds, ...changes }: LayerFiles): PackedLayer {
  const fd = tarPath === undefined ? undefined : openSync(tarPath, 'wx', 0o600);
  try {
    const recipe = recipePath === undefined ? undefined : new RecipeWriter(recipePath);
    const hasher = new Bun.CryptoHasher('sha256');
    const totals: LayerTarTotals = { sizeBytes: 0, members: 0 };
    const output = new Output(fd);
    let content: readonly [name: string, offset: number] | undefined;
    const onContent = (name: string, offset: number): void => void (content = [name, offset]);
    for (const chunk of layerTar(changes, totals, { latestSeconds, idMap, onContent })) {
      hasher.update(chunk);
      output.write(chunk);
      recipe?.beginChunk(chunk);
      if (content !== undefined) recipe?.content(chunk, ...content);
      content = undefined;
      recipe?.endChunk();
    }
    output.flush();
    recipe?.finish();
    const blob = { digest: parseDigest(`sha256:${hasher.digest('hex')}`), sizeBytes: output.bytes };
    return { blob, sizeBytes: totals.sizeBytes, isEmpty: totals.members === 0 };
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

const outputBytes = 256 * 1024;

/** Gathers small pieces: a layer of many small files is mostly headers. */
class Output {
  /** Undefined: nobody wants the bytes. */
  readonly #fd: number | undefined;
  readonly #buffer = new Uint8Array(outputBytes);
  #filled = 0;
  bytes = 0;

  constructor(fd: number | undefined) {
    this.#fd = fd;
  }

  write(chunk: Uint8Array): void {
    this.bytes += chunk.length;
    if (this.#fd === undefined) return;
    if (this.#filled + chunk.length > this.#buffer.length) this.flush();
    if (chunk.length > this.#buffer.length) return writeFully(this.#fd, chunk);
    this.#buffer.set(chunk, this.#filled);
    this.#filled += chunk.length;
  }

  flush(): void {
    if (this.#fd !== undefined) writeFully(this.#fd, this.#buffer.subarray(0, this.#filled));
    this.#filled = 0;
  }
}

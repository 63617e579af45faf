import { kindOf, messageOf } from '#base/errors.ts';
import { enterRoot, readSome, writeFully } from '#host/sys/fs.ts';
import { endWithParent } from '#host/sys/parent.ts';
import { TarParser } from '#oci/tar/parser.ts';
import { assembleTar, refuseDamage } from './assemble.ts';
import { LayerCheck } from './check.ts';
import type { CheckResult, LayerJob } from './job.ts';

const recipeFd = 3;
const readBytes = 1024 * 1024;

/** The process that reads a layer's files: their directory becomes its root first. The tar, or what was found, goes to stdout. */
export function layerChild(job: LayerJob): number {
  try {
    endWithParent(job.parentPid);
    enterRoot(job.directory);
    if (job.kind === 'assemble') {
      for (const chunk of assembleTar(recipeFd, refuseDamage)) writeFully(1, chunk);
      return 0;
    }
    return answer({ ok: true, ...check(job) });
  } catch (err) {
    const failure = { ok: false, kind: kindOf(err), message: messageOf(err) } as const;
    if (job.kind === 'check') return answer(failure);
    process.stderr.write(JSON.stringify(failure));
    return 1;
  }
}

function answer(result: CheckResult): number {
  writeFully(1, new TextEncoder().encode(JSON.stringify(result)));
  return 0;
}

function check({
  hasRecipe,
  isPacked,
  isWhole,
}: Extract<LayerJob, { kind: 'check' }>): Pick<Extract<CheckResult, { ok: true }>, 'diffId' | 'damage'> {
  const found = new LayerCheck({ contents: !hasRecipe, isPacked, isWhole });
  const parser = new TarParser(found);
  const hasher = new Bun.CryptoHasher('sha256');
  for (const chunk of hasRecipe ? assembleTar(recipeFd, (name, what) => found.note(name, what)) : readStdin()) {
    hasher.update(chunk);
    parser.push(chunk);
  }
  parser.finish();
  return { diffId: `sha256:${hasher.digest('hex')}`, damage: found.damage() };
}

function* readStdin(): Generator<Uint8Array, void, undefined> {
  const buffer = new Uint8Array(readBytes);
  for (let count = readSome(0, buffer); count > 0; count = readSome(0, buffer)) yield buffer.subarray(0, count);
}

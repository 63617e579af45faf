import { closeSync, openSync } from 'node:fs';
import { dataLoss, EngineError, type ErrorKind, internal, isErrno } from '#base/errors.ts';
import { selfCommand } from '#host/sys/self.ts';
import type { CheckResult } from './job.ts';

export interface LayerPlace {
  /** The layer's files. */
  readonly directory: string;
  /** Undefined: none. */
  readonly recipe: string | undefined;
  /** The recipe was made while the files were packed, see CheckOptions. */
  readonly isPacked: boolean;
  /** The directory has the files of the layers below as well. */
  readonly isWhole: boolean;
}

type Failure = { readonly kind: ErrorKind; readonly message: string };

/** The tar of a layer. Rejects with DataLoss when its files are not what they were. */
export async function* assembleLayer(place: LayerPlace, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  signal.throwIfAborted();
  const recipe = openRecipe(place);
  const child = Bun.spawn(selfCommand('internal-layer', 'assemble', place.directory, String(process.pid)), {
    stdio: ['ignore', 'pipe', 'pipe', recipe],
    env: { PATH: process.env.PATH ?? '' },
    signal,
    killSignal: 'SIGKILL',
  });
  closeSync(recipe);
  const words = new Response(child.stderr).text();
  try {
    for await (const chunk of child.stdout) yield chunk;
    const status = await child.exited;
    signal.throwIfAborted();
    if (status !== 0) throw failureIn(await words, endOf(child));
  } finally {
    child.kill('SIGKILL');
    await child.exited;
  }
}

/** Compares a layer's files with the tar that its recipe gives, or with `tar`. */
export async function checkLayer(
  place: LayerPlace,
  tar: AsyncIterable<Uint8Array> | undefined,
  signal: AbortSignal,
): Promise<Extract<CheckResult, { ok: true }>> {
  signal.throwIfAborted();
  const flags = [...(tar === undefined ? ['recipe'] : []), ...(place.isPacked ? ['packed'] : []), ...(place.isWhole ? ['whole'] : [])];
  const recipe = tar === undefined ? openRecipe(place) : undefined;
  const child = Bun.spawn(selfCommand('internal-layer', 'check', place.directory, String(process.pid), ...flags), {
    stdio: recipe === undefined ? ['pipe', 'pipe', 'inherit'] : ['ignore', 'pipe', 'inherit', recipe],
    env: { PATH: process.env.PATH ?? '' },
    signal,
    killSignal: 'SIGKILL',
  });
  if (recipe !== undefined) closeSync(recipe);
  const output = new Response(child.stdout as ReadableStream).text();
  if (tar !== undefined) await feed(child as unknown as FedChild, tar);
  const text = await output;
  await child.exited;
  signal.throwIfAborted();
  if (text === '') throw failureIn('', endOf(child));
  const result = JSON.parse(text) as CheckResult;
  if (!result.ok) throw new EngineError(result.kind, result.message);
  return result;
}

interface FedChild {
  readonly stdin: { write(chunk: Uint8Array): unknown; flush(): unknown; end(): unknown };
  kill(signal: 'SIGKILL'): void;
}

async function feed(child: FedChild, tar: AsyncIterable<Uint8Array>): Promise<void> {
  try {
    for await (const chunk of tar) {
      child.stdin.write(chunk);
      await child.stdin.flush();
    }
    await child.stdin.end();
  } catch (err) {
    // A child that has ended says itself why.
    if (isErrno(err, 'EPIPE')) return;
    child.kill('SIGKILL');
    throw err;
  }
}

function openRecipe({ recipe, directory }: LayerPlace): number {
  if (recipe === undefined) throw internal(`nobody knows how the layer in ${directory} was packed`);
  try {
    return openSync(recipe, 'r');
  } catch (err) {
    throw isErrno(err, 'ENOENT') ? dataLoss(`the record of how the layer in ${directory} was packed is gone`, { cause: err }) : err;
  }
}

const endOf = (child: { readonly signalCode: string | number | null; readonly exitCode: number | null }): string =>
  String(child.signalCode ?? `status ${String(child.exitCode)}`);

function failureIn(words: string, status: string): Error {
  try {
    const { kind, message } = JSON.parse(words) as Failure;
    return new EngineError(kind, message);
  } catch {
    return internal(`the process that reads a layer's files ended with ${status}${words === '' ? '' : `: ${words.trim()}`}`);
  }
}

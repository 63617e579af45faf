import { type NewTarFile, writeTar } from '#oci/tar/writer.ts';
import type { ApiClient } from './http.ts';

/** A context: texts by path, or members with everything that a tar can say. */
export type Context = Readonly<Record<string, string>> | readonly NewTarFile[];

export interface BuildOutcome {
  /** 200 also for a build that failed after its first words. */
  readonly status: number;
  /** Everything that clients show. */
  readonly text: string;
  readonly imageId: string | undefined;
  readonly error: string | undefined;
  readonly errorCode: number | undefined;
}

interface Message {
  readonly stream?: string;
  readonly aux?: { readonly ID?: string };
  readonly error?: string;
  readonly errorDetail?: { readonly code?: number };
  readonly message?: string;
}

/** POST /build, by the classic stream. */
export async function build(
  api: ApiClient,
  context: Context,
  query: Readonly<Record<string, string | readonly string[]>> = {},
  options: { readonly signal?: AbortSignal } = {},
): Promise<BuildOutcome> {
  const parameters = new URLSearchParams();
  for (const [name, values] of Object.entries(query)) for (const value of [values].flat()) parameters.append(name, value);
  const raw = new Uint8Array(await contextTar(context));
  const answer = await api.open('POST', `/build?${parameters.toString()}`, {
    raw,
    headers: { 'Content-Type': 'application/x-tar' },
    ...options,
  });
  const messages = (await answer.text())
    .split('\n')
    .filter(line => line.trim() !== '')
    .map(line => JSON.parse(line) as Message);
  const failure = messages.find(message => message.error !== undefined || message.message !== undefined);
  return {
    status: answer.status,
    text: messages.map(message => message.stream ?? '').join(''),
    // dockerd tells one for every stage.
    imageId: messages.findLast(message => message.aux?.ID !== undefined)?.aux?.ID,
    error: failure?.error ?? failure?.message,
    errorCode: failure?.errorDetail?.code,
  };
}

/** Builds and gives the image's id; rejects when that fails. */
export async function buildOk(...args: Parameters<typeof build>): Promise<string> {
  const outcome = await build(...args);
  if (outcome.imageId === undefined) throw new Error(`the build failed: ${outcome.error ?? ''}\n${outcome.text}`);
  return outcome.imageId;
}

export async function contextTar(context: Context): Promise<Uint8Array> {
  const files = Array.isArray(context)
    ? (context as readonly NewTarFile[])
    : Object.entries(context as Readonly<Record<string, string>>).map(([name, text]) => file(name, text));
  return Buffer.concat(await Array.fromAsync(writeTar(files)));
}

export const file = (name: string, text: string, more: Partial<NewTarFile['entry']> = {}): NewTarFile => ({
  entry: { name, mtime: { seconds: 1_600_000_000, nanoseconds: 0 }, ...more },
  content: new TextEncoder().encode(text),
});

export const directory = (name: string, more: Partial<NewTarFile['entry']> = {}): NewTarFile => ({
  entry: { name, type: 'directory', mtime: { seconds: 1_600_000_000, nanoseconds: 0 }, ...more },
});

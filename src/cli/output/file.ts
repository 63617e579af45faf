import { renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Cli } from '../cli.ts';
import { ExitError } from '../errors.ts';

/** Refuses, before anything is fetched, a file that cannot be written. */
export function checkOutputPath(path: string, prefix = ''): void {
  if (path === '') return;
  const directory = statSync(dirname(path), { throwIfNoEntry: false });
  if (directory === undefined) throw new ExitError(1, `${prefix}invalid output path: stat ${dirname(path)}: no such file or directory`);
  if (!directory.isDirectory()) throw new ExitError(1, `${prefix}invalid output path: ${JSON.stringify(dirname(path))} is no directory`);
  const target = statSync(path, { throwIfNoEntry: false });
  if (target?.isDirectory() === true)
    throw new ExitError(1, `${prefix}invalid output path: ${JSON.stringify(path)} must be a regular file, and is a directory`);
}

/** Writes a stream to a file, which appears only when it is complete, or to stdout when no path is given. */
export async function writeStream(cli: Cli, source: ReadableStream<Uint8Array>, path: string): Promise<void> {
  if (path === '') {
    for await (const chunk of source) cli.out.write(chunk);
    return;
  }
  const existing = statSync(path, { throwIfNoEntry: false });
  // A device or a pipe cannot be replaced, only written to.
  const temporary = existing === undefined || existing.isFile() ? `${path}.${process.pid}.tmp` : path;
  const writer = Bun.file(temporary).writer();
  try {
    for await (const chunk of source) {
      await writer.write(chunk);
      await writer.flush();
    }
    await writer.end();
    if (temporary !== path) renameSync(temporary, path);
  } catch (err) {
    if (temporary !== path) rmSync(temporary, { force: true });
    throw err;
  }
}

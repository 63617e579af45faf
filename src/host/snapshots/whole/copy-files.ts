import { internal, resourceExhausted } from '#base/errors.ts';

/**
 * Copies what is in a directory into another one, and the directory's own attributes: owners, modes, times, extended attributes, devices and hard links. What
 * is there is replaced, directories are merged. File systems that can share the blocks of files share them. cp of coreutils does it, in a process of its own.
 */
export async function copyFiles(from: string, to: string): Promise<void> {
  const child = Bun.spawn(['cp', '--archive', '--reflink=auto', '--remove-destination', '--no-target-directory', '--', from, to], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH ?? '', LC_ALL: 'C' },
  });
  const [words, exitCode] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  if (exitCode === 0) return;
  const reason = words.trim().split('\n')[0] ?? '';
  if (reason.endsWith('No space left on device')) throw resourceExhausted(`no space left on device to copy the layer ${from} to ${to}`);
  throw internal(`copying the layer ${from} to ${to} failed: ${reason === '' ? `cp ended with ${String(exitCode)}` : reason}`);
}

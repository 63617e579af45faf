/**
 * The command that starts this program again in another role, such as `selfCommand('internal-unpack', dir)`. A compiled executable is its own
 * interpreter; in a source checkout Bun runs the entry file.
 */
export function selfCommand(...args: readonly string[]): string[] {
  return isCompiled ? [process.execPath, ...args] : [process.execPath, entryFile, ...args];
}

const isCompiled = Bun.main.startsWith('/$bunfs/');
const entryFile = new URL('../../main/berth.ts', import.meta.url).pathname;

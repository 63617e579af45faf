import { invalidArgument } from '#base/errors.ts';
import type { MountRequest } from './model.ts';

const flags = new Set(
  'defaults ro rw suid nosuid dev nodev exec noexec sync async dirsync remount mand nomand atime noatime diratime nodiratime bind rbind unbindable runbindable private rprivate shared rshared slave rslave relatime norelatime strictatime nostrictatime noswap'.split(
    ' ',
  ),
);
const keys = new Set(['mode', 'uid', 'gid', 'size', 'nr_blocks', 'nr_inodes', 'mpol', 'huge']);
const defaults = ['noexec', 'nosuid', 'nodev'];

/** Rejects with InvalidArgument. */
export function checkTmpfsOptions(text: string): void {
  for (const option of text.split(',').filter(part => part !== '')) {
    const [key = '', value] = option.split('=', 2);
    if (value === undefined ? flags.has(option) : keys.has(key) && value !== '') continue;
    throw invalidArgument(
      `invalid tmpfs option [${option
        .split('=')
        .map(part => `"${part}"`)
        .join(' ')}]`,
    );
  }
}

/** Mount options of a `--tmpfs`: the defaults, each replaced where the user says the opposite. */
export function tmpfsOptions(text: string): string[] {
  const own = text.split(',').filter(part => part !== '');
  const opposite = (option: string): string => option.replace(/^no/, '');
  return [...defaults.filter(option => !own.includes(opposite(option)) && !own.includes(option)), ...own, 'rprivate'];
}

/** Mount options of a `--mount type=tmpfs`. */
export function tmpfsMountOptions(request: MountRequest | undefined): string[] {
  const options = request?.tmpfsOptions;
  const own = (options?.options ?? []).map(option => option.join('='));
  const text = [
    ...own,
    ...(request?.readOnly === true ? ['ro'] : []),
    ...((options?.sizeBytes ?? 0) > 0 ? [`size=${String(options?.sizeBytes)}`] : []),
    ...((options?.mode ?? 0) > 0 ? [`mode=${(options?.mode ?? 0).toString(8)}`] : []),
  ].join(',');
  return tmpfsOptions(text);
}

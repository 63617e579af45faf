import { readFileSync, realpathSync } from 'node:fs';

export interface MountInfo {
  readonly target: string;
  readonly type: string;
  readonly source: string;
  /** Options of the mount, then of its file system. */
  readonly options: readonly string[];
  /** Mounts below it appear in other places too. */
  readonly isShared: boolean;
  /** Mounts below it come from another place. */
  readonly isSlave: boolean;
}

/** What is mounted in this mount namespace, in the order it was mounted (proc_pid_mountinfo(5)). */
export function readMounts(path = '/proc/self/mountinfo'): MountInfo[] {
  return parseMounts(readFileSync(path, 'utf8'));
}

/** What a path is on. */
export function mountAt(path: string): MountInfo | undefined {
  const real = realpathSync(path);
  const around = readMounts().filter(({ target }) => target === '/' || real === target || real.startsWith(`${target}/`));
  return around.reduce<MountInfo | undefined>(
    (best, mount) => (best === undefined || mount.target.length >= best.target.length ? mount : best),
    undefined,
  );
}

export function parseMounts(text: string): MountInfo[] {
  const mounts: MountInfo[] = [];
  for (const line of text.split('\n')) {
    const [mount, fileSystem] = line.split(' - ');
    const fields = mount?.split(' ') ?? [];
    const [type, source, superOptions] = fileSystem?.split(' ') ?? [];
    const [, , , , target, options, ...propagation] = fields;
    if (target === undefined || options === undefined || type === undefined) continue;
    mounts.push({
      target: unescapeOctal(target),
      type,
      source: unescapeOctal(source ?? ''),
      options: [...options.split(','), ...(superOptions ?? '').split(',')],
      isShared: propagation.some(field => field.startsWith('shared:')),
      isSlave: propagation.some(field => field.startsWith('master:')),
    });
  }
  return mounts;
}

const unescapeOctal = (text: string): string =>
  text.includes('\\') ? text.replace(/\\([0-7]{3})/g, (_all, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))) : text;

import { statSync } from 'node:fs';
import { failedPrecondition } from '#base/errors.ts';
import { limitProject, projectOf, projectUse, setProject } from '#host/sys/project-quota.ts';
import { mountAt } from '#host/sys/mountinfo.ts';

/** Numbers below are left to the operator. */
const firstProject = 1_048_576;
const projects = 2 ** 30;
const mostTries = 32;

/**
 * Limits what some empty directories of one file system may hold together, by a project quota with a number of their own. Rejects with FailedPrecondition
 * where the file system keeps none. The number is in the directories: whoever removes them calls `forgetLimit` first.
 */
export function limitDirectories(directories: readonly [string, ...string[]], sizeBytes: number): void {
  const [first] = directories;
  const project = freeProject(first);
  for (const directory of directories) expect(setProject(directory, project), first);
  expect(limitProject(first, project, sizeBytes), first);
}

/** One that nothing counts for and that has no limit. */
function freeProject(directory: string): number {
  for (let tries = 0; tries < mostTries; tries += 1) {
    const project = firstProject + Math.floor(Math.random() * projects);
    const use = projectUse(directory, project);
    // Nothing is known of a project that was never used.
    if (use === enoent) return project;
    if (typeof use === 'number') throw unsupported(directory);
    if (use.limitBytes === 0 && use.usedBytes === 0) return project;
  }
  throw failedPrecondition(`no number for a project quota is free in ${directory}`);
}

const enoent = 2;

function expect(error: number, directory: string): void {
  if (error !== 0) throw unsupported(directory);
}

function unsupported(directory: string) {
  const mount = mountAt(directory);
  const where = mount === undefined ? directory : `${mount.target} (${mount.type})`;
  return failedPrecondition(
    `the size of ${directory} cannot be limited: ${where} keeps no project quotas; they need xfs mounted with pquota, or ext4 made with -O quota,project and mounted with prjquota, or btrfs`,
  );
}

/** Takes the limit of a directory away, if it has one. Gone already is fine. */
export function forgetLimit(directory: string): void {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) return;
  const project = projectOf(directory);
  if (project >= firstProject) limitProject(directory, project, 0);
}

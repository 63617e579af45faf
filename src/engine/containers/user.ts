import { failedPrecondition } from '#base/errors.ts';

/** Who a process runs as. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  /** The first is `gid`: a program that drops its group must not keep those of whoever started it. */
  readonly additionalGids: readonly number[];
  readonly home: string;
}

/** The text of a file inside the container; undefined when there is none. */
export type ReadInside = (path: string) => string | undefined;

const maxId = 2_147_483_647;

/**
 * Finds `user[:group]` (names or numbers; empty: root) in the container's passwd and group files. Numbers need not be listed there. Without a group the
 * user's own counts, and those that list the user are added; `groupAdd` is added in any case. Rejects with FailedPrecondition.
 */
export function resolveUser(spec: string, groupAdd: readonly string[], read: ReadInside): ResolvedUser {
  const [userText = '', groupText = ''] = spec.split(':', 2);
  const users = parsePasswd(read('/etc/passwd') ?? '');
  const needsGroups = groupText === '' || !isNumber(groupText) || groupAdd.some(group => !isNumber(group));
  const groups = needsGroups ? parseGroups(read('/etc/group') ?? '') : [];
  const user = findUser(userText, users);
  const listed = groupText === '' && user.name !== undefined ? groups.filter(group => group.members.includes(user.name ?? '')) : [];
  const gid = groupText === '' ? user.gid : findGroup(groupText, groups);
  const added = groupAdd.map(group => findGroup(group, groups));
  return { uid: user.uid, gid, additionalGids: [...new Set([gid, ...listed.map(group => group.gid), ...added])], home: user.home };
}

interface User {
  readonly name: string | undefined;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

function findUser(text: string, users: readonly User[]): User {
  const byName = text === '' ? undefined : users.find(user => user.name === text);
  if (byName !== undefined) return byName;
  if (text !== '' && !isNumber(text)) throw failedPrecondition(`unable to find user ${text}: no matching entries in passwd file`);
  const uid = text === '' ? 0 : checkId(text);
  return users.find(user => user.uid === uid) ?? { name: undefined, uid, gid: 0, home: '/' };
}

function findGroup(text: string, groups: readonly Group[]): number {
  const byName = groups.find(group => group.name === text);
  if (byName !== undefined) return byName.gid;
  if (!/^-?\d+$/.test(text)) throw failedPrecondition(`unable to find group ${text}: no matching entries in group file`);
  return checkId(text);
}

function checkId(text: string): number {
  const id = Number(text);
  if (id < 0 || id > maxId) throw failedPrecondition(`uids and gids must be in range 0-${String(maxId)}`);
  return id;
}

const isNumber = (text: string): boolean => /^\d+$/.test(text);

function parsePasswd(text: string): User[] {
  return lines(text).flatMap(([name = '', , uid = '', gid = '', , home = '']) =>
    isNumber(uid) ? [{ name, uid: Number(uid), gid: isNumber(gid) ? Number(gid) : 0, home: home === '' ? '/' : home }] : [],
  );
}

function parseGroups(text: string): Group[] {
  return lines(text).flatMap(([name = '', , gid = '', members = '']) =>
    isNumber(gid) ? [{ name, gid: Number(gid), members: members.split(',') }] : [],
  );
}

const lines = (text: string): string[][] =>
  text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(line => line.split(':'));

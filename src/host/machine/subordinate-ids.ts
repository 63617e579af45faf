import { readFileSync } from 'node:fs';
import { failedPrecondition, invalidArgument, isErrno, messageOf } from '#base/errors.ts';
import type { IdMap, IdRange } from '#core/id-map.ts';

/** The account that `default` stands for; it is made when it is missing. */
const defaultAccount = 'dockremap';

/** Whose subordinate ids (/etc/subuid, /etc/subgid) containers get. */
export interface Remapping {
  readonly user: string;
  readonly group: string;
  readonly idMap: IdMap;
}

/** Where accounts are looked up and made. */
export interface Accounts {
  find(database: 'passwd' | 'group', key: string): { readonly name: string } | undefined;
  /** Makes a system account with a group of its name. */
  add(name: string): void;
  /** The text of /etc/subuid or /etc/subgid; empty when there is none. */
  ranges(file: 'subuid' | 'subgid'): string;
  /** Gives an account this range in both files. */
  addRange(name: string, first: number, size: number): void;
}

/**
 * Resolves `default`, `user`, `user:group`, with names or numbers. Undefined for root, who cannot be mapped to himself. Rejects with InvalidArgument in
 * the words of Docker.
 */
export function resolveRemapping(text: string, accounts: Accounts): Remapping | undefined {
  const { user, group } = parseRemapping(text, accounts);
  if (user === 'root') return undefined;
  if (text === 'default') ensureRange(user, accounts);
  try {
    return { user, group, idMap: { uids: rangesOf(user, 'uid', accounts), gids: rangesOf(user, 'gid', accounts) } };
  } catch (err) {
    throw invalidArgument(`Can't create ID mappings: ${messageOf(err)}`, { cause: err });
  }
}

function parseRemapping(text: string, accounts: Accounts): { readonly user: string; readonly group: string } {
  const parts = text.split(':');
  if (parts.length > 2) throw invalidArgument(`Invalid user/group specification in --userns-remap: "${text}"`);
  const [userText = '', groupText] = parts;
  const user = findUser(userText, text === 'default', accounts);
  if (groupText !== undefined) return { user, group: findGroup(groupText, accounts) };
  if (isNumber(userText)) {
    const group = accounts.find('group', userText);
    if (group === undefined) throw missing(`Gid ${userText} has no entry in /etc/group`, userText, 'group');
    return { user, group: group.name };
  }
  const group = accounts.find('group', user);
  if (group === undefined) throw missing(`Error during gid lookup for "${user}"`, user, 'group');
  return { user, group: group.name };
}

function findUser(text: string, isDefault: boolean, accounts: Accounts): string {
  const name = isDefault ? defaultAccount : text;
  const found = accounts.find('passwd', name);
  if (found !== undefined) return found.name;
  if (!isDefault) {
    throw missing(isNumber(text) ? `Uid ${text} has no entry in /etc/passwd` : `Error during uid lookup for "${text}"`, text, 'passwd');
  }
  try {
    accounts.add(name);
  } catch (err) {
    throw failedPrecondition(`Error during "${name}" user creation: ${messageOf(err)}`, { cause: err });
  }
  return name;
}

function findGroup(text: string, accounts: Accounts): string {
  const found = accounts.find('group', text);
  if (found !== undefined) return found.name;
  throw missing(isNumber(text) ? `Gid ${text} has no entry in /etc/passwd` : `Error during groupname lookup for "${text}"`, text, 'group');
}

const missing = (what: string, key: string, database: string): Error =>
  invalidArgument(`${what}: getent unable to find entry "${key}" in ${database} database`);

const isNumber = (text: string): boolean => /^\d+$/.test(text);

/** Each range of the account continues the one before it: the first one begins with root. */
function rangesOf(user: string, kind: 'uid' | 'gid', accounts: Accounts): IdRange[] {
  let containerId = 0;
  const ranges = parseRanges(accounts.ranges(`sub${kind}`))
    .filter(({ owner }) => owner === user)
    .toSorted((a, b) => a.first - b.first)
    .map(({ first, size }) => {
      const range = { containerId, hostId: first, size };
      containerId += size;
      return range;
    });
  if (ranges.length === 0) throw invalidArgument(`no sub${kind} ranges found for user "${user}"`);
  return ranges;
}

function parseRanges(text: string): { readonly owner: string; readonly first: number; readonly size: number }[] {
  return text.split('\n').flatMap(line => {
    const [, owner = '', first, size] = /^\s*([^:#\s][^:]*):(\d+):(\d+)\s*$/.exec(line) ?? [];
    return first === undefined ? [] : [{ owner, first: Number(first), size: Number(size) }];
  });
}

const firstRange = 100_000;
const rangeSize = 65_536;

function ensureRange(user: string, accounts: Accounts): void {
  const [uids, gids] = [parseRanges(accounts.ranges('subuid')), parseRanges(accounts.ranges('subgid'))];
  if (uids.some(({ owner }) => owner === user) && gids.some(({ owner }) => owner === user)) return;
  const first = Math.max(firstRange, ...[...uids, ...gids].map(range => range.first + range.size));
  accounts.addRange(user, first, rangeSize);
}

/** Those of this machine, through the programs that every distribution has for them. */
export const machineAccounts: Accounts = {
  find(database, key) {
    const { exitCode, stdout } = Bun.spawnSync(['getent', database, key]);
    const [name = ''] = stdout.toString().split(':');
    return exitCode === 0 && name !== '' ? { name } : undefined;
  },
  add: name => run('useradd', '--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', name),
  ranges(file) {
    try {
      return readFileSync(`/etc/${file}`, 'utf8');
    } catch (err) {
      if (isErrno(err, 'ENOENT')) return '';
      throw err;
    }
  },
  addRange(name, first, size) {
    const range = `${String(first)}-${String(first + size - 1)}`;
    run('usermod', '--add-subuids', range, '--add-subgids', range, name);
  },
};

function run(...command: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync([...command]);
  if (exitCode !== 0) throw failedPrecondition(`${command.join(' ')}: ${stderr.toString().trim()}`);
}

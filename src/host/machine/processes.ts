import { readFileSync, readlinkSync } from 'node:fs';
import { totalmem } from 'node:os';
import { invalidArgument, isErrno } from '#base/errors.ts';

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  readonly state: string;
  readonly terminal: string;
  readonly uid: number;
  readonly gid: number;
  readonly name: string;
  readonly command: string;
  readonly niceness: number;
  readonly priority: number;
  readonly threads: number;
  readonly virtualBytes: number;
  readonly residentBytes: number;
  readonly cpuSeconds: number;
  readonly startedAt: Date;
  readonly elapsedSeconds: number;
  readonly cgroup: string;
}

interface Column {
  readonly title: string;
  readonly of: (process: Process, users: ReadonlyMap<number, string>) => string;
}

// USER_HZ, the unit of times in /proc/PID/stat, on every architecture.
const ticksPerSecond = 100;
const pageBytes = 4096;

const userName: Column['of'] = (process, users) => users.get(process.uid) ?? String(process.uid);
const cpuPercent = ({ cpuSeconds, elapsedSeconds }: Process): number => (elapsedSeconds <= 0 ? 0 : (cpuSeconds / elapsedSeconds) * 100);
const column = (title: string, of: Column['of']): Column => ({ title, of });

/** What `ps -o` can name. */
const columns: Readonly<Record<string, Column>> = {
  pid: column('PID', process => String(process.pid)),
  ppid: column('PPID', process => String(process.parent)),
  pgid: column('PGID', process => String(process.group)),
  sid: column('SID', process => String(process.session)),
  uid: column('UID', process => String(process.uid)),
  gid: column('GID', process => String(process.gid)),
  user: column('USER', userName),
  uname: column('USER', userName),
  euser: column('EUSER', userName),
  ruser: column('RUSER', userName),
  comm: column('COMMAND', process => process.name),
  ucmd: column('CMD', process => process.name),
  args: column('COMMAND', process => process.command),
  command: column('COMMAND', process => process.command),
  cmd: column('CMD', process => process.command),
  stat: column('STAT', process => process.state),
  state: column('S', process => process.state.slice(0, 1)),
  s: column('S', process => process.state.slice(0, 1)),
  tty: column('TT', process => process.terminal),
  tt: column('TT', process => process.terminal),
  tname: column('TTY', process => process.terminal),
  ni: column('NI', process => String(process.niceness)),
  nice: column('NI', process => String(process.niceness)),
  pri: column('PRI', process => String(39 - process.priority)),
  nlwp: column('NLWP', process => String(process.threads)),
  vsz: column('VSZ', process => String(Math.round(process.virtualBytes / 1024))),
  rss: column('RSS', process => String(Math.round(process.residentBytes / 1024))),
  pcpu: column('%CPU', process => cpuPercent(process).toFixed(1)),
  '%cpu': column('%CPU', process => cpuPercent(process).toFixed(1)),
  c: column('C', process => String(Math.min(99, Math.floor(cpuPercent(process))))),
  pmem: column('%MEM', process => ((process.residentBytes / totalmem()) * 100).toFixed(1)),
  '%mem': column('%MEM', process => ((process.residentBytes / totalmem()) * 100).toFixed(1)),
  time: column('TIME', process => clock(process.cpuSeconds)),
  cputime: column('TIME', process => clock(process.cpuSeconds)),
  etime: column('ELAPSED', process => elapsed(process.elapsedSeconds)),
  etimes: column('ELAPSED', process => String(Math.floor(process.elapsedSeconds))),
  start: column('STARTED', process => startText(process)),
  stime: column('STIME', process => startText(process)),
  lstart: column('STARTED', process => process.startedAt.toString().slice(0, 24)),
  cgroup: column('CGROUP', process => process.cgroup),
};

const pick = (names: string): Column[] => names.split(' ').flatMap(name => columns[name] ?? []);
const named = (title: string, name: string): Column => column(title, columns[name]?.of ?? (() => ''));

const full = [named('UID', 'user'), ...pick('pid ppid c stime'), named('TTY', 'tty'), ...pick('time cmd')];
const userOriented = [
  ...pick('user pid pcpu pmem vsz rss'),
  named('TTY', 'tty'),
  ...pick('stat'),
  named('START', 'stime'),
  column('TIME', process => shortClock(process.cpuSeconds)),
  ...pick('command'),
];
const plain = [...pick('pid'), named('TTY', 'tty'), ...pick('time'), named('CMD', 'comm')];
const long = [
  named('F', 'none'),
  ...pick('s'),
  named('UID', 'uid'),
  ...pick('pid ppid c pri ni vsz'),
  named('TTY', 'tty'),
  ...pick('time cmd'),
].filter(({ title }) => title !== 'F');

/** Reads processes from /proc and shows them in the columns that `ps` has for these arguments. */
export function createProcessTable() {
  return {
    list: async (pids: readonly number[], psArgs: string): Promise<{ readonly titles: string[]; readonly processes: string[][] }> => {
      const shown = parsePsArguments(psArgs);
      const users = readUsers();
      const boot = bootTime();
      const found = pids.flatMap(pid => readProcess(pid, boot) ?? []);
      return { titles: shown.map(({ title }) => title), processes: found.map(process => shown.map(({ of }) => of(process, users))) };
    },
  };
}

/** Which columns `ps` would print. Rejects with InvalidArgument for arguments that are not about columns. */
export function parsePsArguments(text: string): Column[] {
  const words = text.split(/\s+/).filter(word => word !== '');
  const chosen: Column[] = [];
  let layout: Column[] | undefined;
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    const format = /^-?(?:o|-format[= ]?|[a-zA-Z]*o)=?(.*)$/.exec(word);
    if (word === 'o' || word === '-o' || word === '--format' || (format !== null && /^(-o|-eo|-Ao|-e?o|o|axo|-axo|--format=)/.test(word))) {
      const list = word === 'o' || /^-[a-zA-Z]*o$|^axo$|^--format$/.test(word) ? (words[++at] ?? '') : (format?.[1] ?? '');
      chosen.push(...parseFormat(list));
    } else if (/^-?(aux|axu|ax?u|u)[wfh]*$/.test(word)) layout = userOriented;
    else if (/^-[eAad]*[fF][eAadwL]*$/.test(word)) layout ??= full;
    else if (/^-[eAad]*l[eAad]*$/.test(word)) layout = long;
    else if (/^-?[eAadxwfh]+$/.test(word)) layout ??= plain;
    else throw invalidArgument(`ps: unsupported argument "${word}": use -ef, aux or -o with a list of columns`);
  }
  if (chosen.length === 0) return layout ?? plain;
  return chosen;
}

function parseFormat(list: string): Column[] {
  return list
    .split(',')
    .filter(name => name !== '')
    .map(item => {
      const [name = '', title] = item.split('=', 2);
      const known = columns[name.toLowerCase()];
      if (known === undefined) throw invalidArgument(`ps: error: unknown user-defined format specifier "${name}"`);
      return title === undefined ? known : { ...known, title };
    });
}

function readProcess(pid: number, boot: number): Process | undefined {
  const directory = `/proc/${String(pid)}`;
  const stat = readOrNothing(`${directory}/stat`);
  const status = readOrNothing(`${directory}/status`);
  if (stat === undefined || status === undefined) return undefined;
  const end = stat.lastIndexOf(')');
  const name = stat.slice(stat.indexOf('(') + 1, end);
  const fields = stat.slice(end + 2).split(' ');
  const number = (index: number): number => Number(fields[index] ?? 0);
  const startedAt = new Date((boot + number(19) / ticksPerSecond) * 1000);
  const id = (key: string): number => Number(new RegExp(`^${key}:\\s+\\d+\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
  const command = (readOrNothing(`${directory}/cmdline`) ?? '').replace(/\0+$/, '').replaceAll('\0', ' ');
  return {
    pid,
    name,
    parent: number(1),
    group: number(2),
    session: number(3),
    state: stateText(fields, pid),
    terminal: terminalOf(number(4), directory),
    uid: id('Uid'),
    gid: id('Gid'),
    command: command === '' ? `[${name}]` : command,
    priority: number(15),
    niceness: number(16),
    threads: number(17),
    virtualBytes: number(20),
    residentBytes: number(21) * pageBytes,
    cpuSeconds: (number(11) + number(12)) / ticksPerSecond,
    startedAt,
    elapsedSeconds: (Date.now() - startedAt.getTime()) / 1000,
    cgroup: (readOrNothing(`${directory}/cgroup`) ?? '').trim().replaceAll('\n', ','),
  };
}

/** The state letter with what `ps` adds: session leader, threads, foreground, niceness. */
function stateText(fields: readonly string[], pid: number): string {
  const number = (index: number): number => Number(fields[index] ?? 0);
  const nice = number(16) < 0 ? '<' : number(16) > 0 ? 'N' : '';
  const leader = number(3) === pid ? 's' : '';
  const threads = number(17) > 1 ? 'l' : '';
  return `${fields[0] ?? '?'}${nice}${leader}${threads}${number(5) === number(2) ? '+' : ''}`;
}

function terminalOf(device: number, directory: string): string {
  if (device === 0) return '?';
  const minor = (device & 0xff) | ((device >> 12) & 0xfff00);
  const major = (device >> 8) & 0xfff;
  if (major >= 136 && major <= 143) return `pts/${String(minor + (major - 136) * 256)}`;
  try {
    return readlinkSync(`${directory}/fd/0`).replace(/^\/dev\//, '');
  } catch {
    return '?';
  }
}

const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
const clock = (seconds: number): string => `${two(seconds / 3600)}:${two((seconds % 3600) / 60)}:${two(seconds % 60)}`;
const shortClock = (seconds: number): string => `${String(Math.floor(seconds / 60))}:${two(seconds % 60)}`;

function elapsed(seconds: number): string {
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor((seconds % 86_400) / 3600);
  const rest = `${two((seconds % 3600) / 60)}:${two(seconds % 60)}`;
  return days > 0 ? `${String(days)}-${two(hours)}:${rest}` : hours > 0 ? `${two(hours)}:${rest}` : rest;
}

const months = 'JanFebMarAprMayJunJulAugSepOctNovDec';

function startText({ startedAt, elapsedSeconds }: Process): string {
  if (elapsedSeconds < 86_400) return `${two(startedAt.getHours())}:${two(startedAt.getMinutes())}`;
  return `${months.slice(startedAt.getMonth() * 3, startedAt.getMonth() * 3 + 3)}${two(startedAt.getDate())}`;
}

const bootTime = (): number => Number(/^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1] ?? 0);

function readUsers(): Map<number, string> {
  const users = new Map<number, string>();
  for (const line of (readOrNothing('/etc/passwd') ?? '').split('\n')) {
    const [name, , uid] = line.split(':');
    if (name !== undefined && uid !== undefined && !users.has(Number(uid))) users.set(Number(uid), name);
  }
  return users;
}

/** Undefined for a process that has ended meanwhile. */
function readOrNothing(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ESRCH')) return undefined;
    throw err;
  }
}

import { closeSync, openSync, readFileSync } from 'node:fs';
import { internal, isErrno } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { ProcessIo } from '#core/runtime.ts';
import { adoptSocket, socketPair } from '#host/sys/unix-socket.ts';
import { files } from './layout.ts';

export interface MonitorRequest {
  readonly conmonPath: string;
  /** Its own directory; for a container also the OCI bundle. */
  readonly directory: string;
  readonly containerId: string;
  readonly runtimePath: string;
  /** Global arguments of the runtime, such as `--root`. */
  readonly runtimeArgs: readonly string[];
  readonly io: ProcessIo;
  readonly logPath: string | undefined;
  readonly logMaxBytes?: number;
  /** For terminals: where the runtime hands them over. */
  readonly terminalDirectory: string | undefined;
  /** Set: runs a process spec in a container that exists instead of making one. */
  readonly exec?: {
    /** Called while the process waits for it, the attach socket being there: whoever connects now misses nothing. */
    readonly beforeOutput: (() => Promise<void>) | undefined;
  };
}

export interface StartedMonitor {
  /** The container's first process, or the exec's. */
  readonly pid: number;
  /** Resolves when the monitor has ended, which is after it wrote the exit file. */
  readonly ended: Promise<void>;
}

/** The runtime or the monitor refused; `reason` is what the monitor passed on, often less than the runtime's own log says. */
export class MonitorFailure extends Error {
  readonly reason: string;

  constructor(reason: string) {
    super(reason);
    this.name = 'MonitorFailure';
    this.reason = reason;
  }
}

// One socket serves as the three pipes that conmon knows: it reports on it, and for an exec waits on it.
//
//   [daemon] --spawn--> [conmon] --fork--> [runtime create] ;  conmon --{"pid":n}--> daemon ;  end of file: conmon has ended
//   exec:  daemon --x--> conmon --{"data":0}--> daemon (attaches) --x--> [runtime exec] ;  conmon --{"data":pid}--> … --{"data":exit code}-->
const pipeFd = 3;
const go = new Uint8Array([1]);

/** Starts conmon and waits until the process exists. Rejects with MonitorFailure when it does not come to be. */
export async function startMonitor(request: MonitorRequest): Promise<StartedMonitor> {
  const waits = request.exec?.beforeOutput !== undefined;
  const pair = socketPair();
  const errorsTo = openSync(`${request.directory}/${files.monitorLog}`, 'a');
  try {
    Bun.spawn([request.conmonPath, ...monitorArgs(request)], {
      cwd: request.directory,
      stdio: ['ignore', 'ignore', errorsTo, pair.theirs],
      env: {
        PATH: process.env.PATH ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        // The log's times are to be in UTC.
        TZ: 'UTC',
        LC_ALL: 'C',
        _OCI_SYNCPIPE: String(pipeFd),
        ...(waits ? { _OCI_STARTPIPE: String(pipeFd), _OCI_ATTACHPIPE: String(pipeFd) } : {}),
        ...(request.terminalDirectory === undefined ? {} : { TMPDIR: request.terminalDirectory }),
      },
    });
  } catch (err) {
    closeSync(pair.ours);
    throw internal(`cannot start ${request.conmonPath}`, { cause: err });
  } finally {
    closeSync(pair.theirs);
    closeSync(errorsTo);
  }
  failpoint(request.exec === undefined ? 'runtime.create.spawned' : 'runtime.exec.spawned');
  return await readReports(pair.ours, request);
}

function monitorArgs(request: MonitorRequest): string[] {
  const { directory, io, exec } = request;
  const args = ['-c', request.containerId, '-u', request.containerId, '-r', request.runtimePath, '-b', directory];
  args.push('--persist-dir', directory, '-p', `${directory}/${files.pid}`, '-P', `${directory}/${files.monitorPid}`);
  args.push(
    '--full-attach',
    '--no-sync-log',
    '--no-new-keyring',
    '-l',
    request.logPath === undefined ? 'off' : `k8s-file:${request.logPath}`,
  );
  if (request.logMaxBytes !== undefined) args.push('--log-size-max', String(request.logMaxBytes));
  for (const arg of request.runtimeArgs) args.push('--runtime-arg', arg);
  if (io.tty) args.push('-t');
  if (io.stdin) args.push('-i');
  if (io.keepStdinOpen) args.push('--leave-stdin-open');
  if (exec !== undefined) {
    args.push('--api-version', '-e', '--exec-process-spec', `${directory}/${files.processSpec}`);
    if (exec.beforeOutput !== undefined) args.push('--exec-attach');
  }
  return args;
}

interface Report {
  readonly pid?: number;
  readonly data?: number;
  readonly message?: string;
}

async function readReports(fd: number, request: MonitorRequest): Promise<StartedMonitor> {
  const started = Promise.withResolvers<number>();
  const ended = Promise.withResolvers<void>();
  let attachPending = request.exec?.beforeOutput;
  let isStarted = false;
  let unread = '';
  const onReport = (report: Report, answer: () => void): void => {
    if (isStarted) return; // the exit code: the exit file has it too
    if (attachPending !== undefined && report.data === 0) {
      attachPending().then(answer, started.reject);
      attachPending = undefined;
      return;
    }
    const pid = report.pid ?? report.data ?? -1;
    isStarted = true;
    if (pid > 0) started.resolve(pid);
    else started.reject(new MonitorFailure(report.message ?? ''));
  };
  const socket = await adoptSocket({
    fd,
    socket: {
      data: (sock, chunk) => {
        const lines = (unread + chunk.toString()).split('\n');
        unread = lines.pop() ?? '';
        try {
          for (const line of lines) onReport(parseReport(line), () => sock.write(go));
        } catch (err) {
          started.reject(err);
          sock.terminate();
        }
      },
      close: () => {
        if (!isStarted) started.reject(new MonitorFailure(readIfThere(`${request.directory}/${files.monitorLog}`)));
        ended.resolve();
      },
      error: () => undefined,
    },
  });
  if (attachPending !== undefined) socket.write(go);
  try {
    return { pid: await started.promise, ended: ended.promise };
  } catch (err) {
    // It writes to its directory until it has ended, which it is about to.
    await ended.promise;
    throw err;
  }
}

/** conmon puts a runtime's words into JSON without escaping all of them. */
function parseReport(line: string): Report {
  try {
    return JSON.parse(line) as Report;
  } catch {
    const number = /"(?:pid|data)":\s*(-?\d+)/.exec(line)?.[1];
    return { data: Number(number ?? -1), message: /"message":\s*"(.*)"\s*}$/s.exec(line)?.[1] ?? line };
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return '';
    throw err;
  }
}

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
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
  /** What the runtime gets wherever it would get /dev/null. */
  readonly nullDevice?: string;
  /** A checkpoint to go on from, instead of making the processes anew. */
  readonly restoreFrom?: string;
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

// Two sockets serve as the three pipes that conmon knows. On one it reports, on the other it waits for a byte: before it starts the runtime, and in an
// exec once more until somebody listens to the process.
//
//   [daemon] --spawn--> [conmon]                  (getting ready while the daemon prepares what the runtime will read)
//   daemon --x--> conmon --fork--> [runtime create] ;  conmon --{"pid":n}--> daemon ;  end of file: conmon has ended
//   exec:  daemon --x--> conmon --{"data":0}--> daemon (attaches) --x--> [runtime exec] ;  conmon --{"data":pid}--> … --{"data":exit code}-->
//
// conmon takes an end of file for the byte. So that it does not go on alone when the daemon ends, one byte that nobody reads lies in the daemon's side of
// the second socket: the kernel resets a connection that is closed with something unread (unix(7)), which conmon takes for the failure that it is.
const reportFd = 3;
const startFd = 4;
const oneByte = new Uint8Array([1]);

/** A monitor that has started nothing yet. */
export interface WaitingMonitor {
  /** Lets it start the runtime; resolves when the process exists. Rejects with MonitorFailure when it does not come to be. To be called once. */
  begin(): Promise<StartedMonitor>;
  /** Ends a monitor that has not begun; resolves when it has ended. After `begin` nothing happens. */
  abandon(): Promise<void>;
}

/** Starts conmon, which waits for `begin`. */
export function spawnMonitor(request: MonitorRequest): WaitingMonitor {
  const reports = socketPair();
  const start = socketPair();
  let child: Bun.Subprocess;
  const errorsTo = openSync(`${request.directory}/${files.monitorLog}`, 'a');
  try {
    writeSync(start.theirs, oneByte);
    child = Bun.spawn([request.conmonPath, ...monitorArgs(request)], {
      cwd: request.directory,
      stdio: ['ignore', 'ignore', errorsTo, reports.theirs, start.theirs],
      env: {
        PATH: process.env.PATH ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        // The log's times are to be in UTC.
        TZ: 'UTC',
        LC_ALL: 'C',
        _OCI_SYNCPIPE: String(reportFd),
        _OCI_STARTPIPE: String(startFd),
        ...(request.exec?.beforeOutput === undefined ? {} : { _OCI_ATTACHPIPE: String(reportFd) }),
        ...(request.terminalDirectory === undefined ? {} : { TMPDIR: request.terminalDirectory }),
      },
    });
  } catch (err) {
    closeSync(reports.ours);
    closeSync(start.ours);
    throw internal(`cannot start ${request.conmonPath}`, { cause: err });
  } finally {
    closeSync(reports.theirs);
    closeSync(start.theirs);
    closeSync(errorsTo);
  }
  failpoint(request.exec === undefined ? 'runtime.create.spawned' : 'runtime.exec.spawned');
  let isWaiting = true;
  return {
    begin: async () => {
      isWaiting = false;
      return await letGo(reports.ours, start.ours, request);
    },
    abandon: async () => {
      if (!isWaiting) return;
      isWaiting = false;
      closeSync(start.ours);
      await child.exited;
      closeSync(reports.ours);
    },
  };
}

function monitorArgs(request: MonitorRequest): string[] {
  const { directory, io, exec } = request;
  const runtime = runtimeCommand(request);
  const args = ['-c', request.containerId, '-u', request.containerId, '-r', runtime.path, '-b', directory];
  args.push('--persist-dir', directory, '-p', `${directory}/${files.pid}`, '-P', `${directory}/${files.monitorPid}`);
  args.push('--full-attach', '--no-sync-log', '-l', request.logPath === undefined ? 'off' : `k8s-file:${request.logPath}`);
  if (request.logMaxBytes !== undefined) args.push('--log-size-max', String(request.logMaxBytes));
  for (const arg of runtime.args) args.push('--runtime-arg', arg);
  if (request.restoreFrom !== undefined) args.push('--restore', request.restoreFrom, '--runtime-opt', '--file-locks');
  if (io.tty) args.push('-t');
  if (io.stdin) args.push('-i');
  if (io.keepStdinOpen) args.push('--leave-stdin-open');
  if (exec !== undefined) {
    args.push('--api-version', '-e', '--exec-process-spec', `${directory}/${files.processSpec}`);
    if (exec.beforeOutput !== undefined) args.push('--exec-attach');
  }
  return args;
}

const withNullDevice = `null=$1
shift
[ /proc/self/fd/0 -ef /dev/null ] && exec 0<"$null"
[ /proc/self/fd/1 -ef /dev/null ] && exec 1>"$null"
[ /proc/self/fd/2 -ef /dev/null ] && exec 2>"$null"
exec "$0" "$@"`;

function runtimeCommand(request: MonitorRequest): { readonly path: string; readonly args: readonly string[] } {
  const { runtimePath, runtimeArgs, nullDevice } = request;
  if (nullDevice === undefined) return { path: runtimePath, args: runtimeArgs };
  return { path: '/bin/sh', args: ['-c', withNullDevice, runtimePath, nullDevice, ...runtimeArgs] };
}

interface Report {
  readonly pid?: number;
  readonly data?: number;
  readonly message?: string;
}

/** Lets the monitor go on, and once more when its process is listened to; closing the second socket early makes it give up. */
async function letGo(reportsFd: number, startFd: number, request: MonitorRequest): Promise<StartedMonitor> {
  const started = Promise.withResolvers<number>();
  const ended = Promise.withResolvers<void>();
  let attachPending = request.exec?.beforeOutput;
  let isStarted = false;
  let unread = '';
  let mayGoOn = true;
  const stopWaiting = (): void => {
    if (mayGoOn) closeSync(startFd);
    mayGoOn = false;
  };
  const goOn = (isLast: boolean): void => {
    try {
      if (mayGoOn) writeSync(startFd, oneByte);
    } catch (err) {
      // It has ended, and says why.
      if (!isErrno(err, 'EPIPE')) throw err;
    }
    if (isLast) stopWaiting();
  };
  const onReport = (report: Report): void => {
    if (isStarted) return; // the exit code: the exit file has it too
    if (attachPending !== undefined && report.data === 0) {
      attachPending().then(
        () => goOn(true),
        (err: unknown) => {
          started.reject(err);
          stopWaiting();
        },
      );
      attachPending = undefined;
      return;
    }
    const pid = report.pid ?? report.data ?? -1;
    isStarted = true;
    if (pid > 0) started.resolve(pid);
    else started.reject(new MonitorFailure(report.message ?? ''));
  };
  await adoptSocket({
    fd: reportsFd,
    socket: {
      data: (sock, chunk) => {
        const lines = (unread + chunk.toString()).split('\n');
        unread = lines.pop() ?? '';
        try {
          for (const line of lines) onReport(parseReport(line));
        } catch (err) {
          started.reject(err);
          sock.terminate();
        }
      },
      close: () => {
        if (!isStarted) started.reject(new MonitorFailure(readIfThere(`${request.directory}/${files.monitorLog}`)));
        stopWaiting();
        ended.resolve();
      },
      error: () => undefined,
    },
  });
  goOn(attachPending === undefined);
  failpoint(request.exec === undefined ? 'runtime.create.begun' : 'runtime.exec.begun');
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

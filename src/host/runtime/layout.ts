import type { ProcessKey } from '#core/runtime.ts';

/**
 * Where a process keeps its files, all below the exec root. A container's directory is its OCI bundle as well as its monitor's directory:
 *
 *   containers/<id>/        config.json state.json runtime.log monitor.log pid monitor.pid exit oom attach ctl winsz criu resources.json limits.json
 *   containers/<id>/execs/  <execId>/ process.json and the same monitor files
 *   runtime/<name>/         the OCI runtime's own state, one directory per runtime name
 *   tty/                    sockets through which a runtime hands over a terminal; their addresses must be short
 */
export class Layout {
  readonly execRoot: string;

  constructor(execRoot: string) {
    this.execRoot = execRoot;
  }

  get containers(): string {
    return `${this.execRoot}/containers`;
  }

  get runtimes(): string {
    return `${this.execRoot}/runtime`;
  }

  get terminals(): string {
    return `${this.execRoot}/tty`;
  }

  directory(key: ProcessKey): string {
    const container = `${this.containers}/${key.containerId}`;
    return key.execId === undefined ? container : `${container}/execs/${key.execId}`;
  }

  runtimeRoot(runtimeName: string): string {
    return `${this.runtimes}/${runtimeName}`;
  }
}

/** Files of one monitor, relative to its directory. */
export const files = {
  spec: 'config.json',
  processSpec: 'process.json',
  state: 'state.json',
  runtimeLog: 'runtime.log',
  monitorLog: 'monitor.log',
  pid: 'pid',
  monitorPid: 'monitor.pid',
  exit: 'exit',
  oom: 'oom',
  attach: 'attach',
  checkpointWork: 'criu',
  control: 'ctl',
  /** Of a change of limits under way: what to change, what was there before, what the runtime says. */
  resources: 'resources.json',
  limitsBefore: 'limits.json',
  updateLog: 'update.log',
} as const;

export const keyText = (key: ProcessKey): string => (key.execId === undefined ? key.containerId : `${key.containerId}/${key.execId}`);

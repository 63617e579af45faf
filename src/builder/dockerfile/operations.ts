import type { ImageConfigFile, ImageHistory } from '#oci/image-config.ts';
import type { Platform } from '#oci/platform.ts';
import type { Heredoc, DeviceRequest, Mount } from './instructions.ts';
import type { Range } from './source.ts';

/**
 * A stage while its instructions are dispatched. A value: `dispatch` gives a new one and leaves the old as it was, so a stage that begins with
 * another begins with the state that one ended in.
 */
export interface StageState {
  /** What the image will say. `rootfs` and `created` are the base's: layers and times are the business of whoever makes them. */
  readonly image: ImageConfigFile;
  readonly platform: Platform;
  /** Every variable that a word can name: the image's environment, `ENV`, and `ARG` with a value. In the order they were first set. */
  readonly variables: ReadonlyMap<string, string>;
  /** The `ARG`s declared so far, inherited ones included. */
  readonly args: readonly { readonly name: string; readonly value?: string }[];
  /** `CMD`, `ENTRYPOINT`, `HEALTHCHECK` and `WORKDIR` that this stage's own Dockerfile has given. */
  readonly given: ReadonlySet<'cmd' | 'entrypoint' | 'healthcheck' | 'workdir'>;
}

/** What dispatching one instruction leads to. */
export interface Dispatched {
  readonly state: StageState;
  /** Undefined when only the configuration changes. */
  readonly operation?: Operation;
  /** Already the last entry of `state.image.history`; undefined for `ONBUILD`, which leaves none. */
  readonly history?: ImageHistory;
}

/** Work that changes the file system. All variables have their values. */
export type Operation = RunOperation | CopyOperation | AddOperation | WorkdirOperation;

interface OperationBase {
  /** What progress shows, variables replaced: `RUN make`, `COPY a /b`. */
  readonly title: string;
  readonly range: Range;
}

export interface RunOperation extends OperationBase {
  readonly kind: 'run';
  readonly args: readonly string[];
  /** `KEY=value`; without the proxy variables, which are given to the process but are no part of what it is known by. */
  readonly env: readonly string[];
  readonly cwd: string;
  /** As `USER` says; empty is root. */
  readonly user: string;
  /** A heredoc that begins with `#!`: the file to be at `path` (`/dev/pipes/<name>`) while the command runs, mode 0755; `args` names it. */
  readonly script?: { readonly path: string; readonly content: string };
  readonly mounts: readonly Mount[];
  readonly network: 'default' | 'none' | 'host';
  readonly security: 'sandbox' | 'insecure';
  readonly devices: readonly DeviceRequest[];
}

export interface CopyOperation extends OperationBase {
  readonly kind: 'copy';
  readonly from?: string;
  readonly sources: readonly string[];
  /** Files of mode 0644 whose content stands in the Dockerfile; `expand` and `stripTabs` have been seen to. */
  readonly files: readonly Pick<Heredoc, 'name' | 'content'>[];
  /** Absolute; ends with a slash when it has to be a directory. */
  readonly destination: string;
  readonly chown?: string;
  /** Octal, or symbolic as chmod(1) takes it. */
  readonly chmod?: string;
  readonly link: boolean;
  readonly parents: boolean;
  readonly excludes: readonly string[];
}

export interface AddOperation extends OperationBase {
  readonly kind: 'add';
  readonly sources: readonly string[];
  readonly files: readonly Pick<Heredoc, 'name' | 'content'>[];
  readonly destination: string;
  readonly chown?: string;
  readonly chmod?: string;
  readonly checksum?: string;
  readonly link: boolean;
  readonly excludes: readonly string[];
  readonly keepGitDir?: boolean;
  readonly unpack?: boolean;
}

/** The directory is made if it is not there, mode 0755, for `user`. */
export interface WorkdirOperation extends OperationBase {
  readonly kind: 'workdir';
  readonly path: string;
  readonly user: string;
}

import type { Range, Source } from './source.ts';

/**
 * What a Dockerfile says, before any variable has a value. Made by `parseDockerfile`; `dispatch` (dispatch.ts) turns one instruction after the
 * other into image configuration and work. Everything here is plain data.
 */
export interface ParsedDockerfile {
  readonly source: Source;
  readonly directives: Directives;
  /** `ARG` instructions before the first `FROM`. */
  readonly metaArgs: readonly ArgInstruction[];
  /** At least one. A stage's place in this list is the number that `COPY --from=0` means. */
  readonly stages: readonly Stage[];
  /** Statements with empty lines in their continuation: the line of each statement's end. */
  readonly emptyContinuations: readonly Range[];
}

export interface Directives {
  /** `# syntax=image`: the frontend that was asked for. This parser is the only one there is; the value is for information. */
  readonly syntax?: string;
  /** `\` or a backquote: escapes characters and continues lines. */
  readonly escape: '\\' | '`';
  /** The text of `# check=`, read by lint.ts. */
  readonly check?: string;
}

export interface Stage {
  readonly index: number;
  /** In lower case, as it is looked up; undefined for a stage without `AS`. */
  readonly name?: string;
  /** The name as written. */
  readonly writtenName?: string;
  /** What follows `FROM`; may hold variables, whose values are those of `metaArgs` and the platform arguments. */
  readonly baseName: string;
  /** `--platform`, may hold variables. */
  readonly platform?: string;
  /** `FROM` as written. */
  readonly keyword: string;
  /** `AS` as written; undefined without a name. */
  readonly asKeyword?: string;
  /** The statement in one line. */
  readonly code: string;
  readonly range: Range;
  /** The comment lines directly above, without `#`. */
  readonly comments: readonly string[];
  /** The comment above that begins with the stage's name. */
  readonly description?: string;
  readonly instructions: readonly Instruction[];
}

export type Instruction =
  | AddInstruction
  | ArgInstruction
  | CmdInstruction
  | CopyInstruction
  | EntrypointInstruction
  | EnvInstruction
  | ExposeInstruction
  | HealthcheckInstruction
  | LabelInstruction
  | MaintainerInstruction
  | OnbuildInstruction
  | RunInstruction
  | ShellInstruction
  | StopsignalInstruction
  | UserInstruction
  | VolumeInstruction
  | WorkdirInstruction;

export interface InstructionBase {
  /** The instruction's word as written: `run`, `RUN`. */
  readonly keyword: string;
  /** The statement in one line: continuation lines joined, comments between them dropped, no heredoc bodies. Variables as written. */
  readonly code: string;
  /** The whole statement, heredoc bodies included. */
  readonly range: Range;
  readonly comments: readonly string[];
}

export interface KeyValue {
  readonly key: string;
  readonly value: string;
  /** Written `KEY value`. */
  readonly legacy: boolean;
}

/** A document written in place: `<<EOF`. */
export interface Heredoc {
  /** The delimiter without quotes, which is also the file's name in `COPY` and `ADD`. */
  readonly name: string;
  /** The body as written, tabs included. */
  readonly content: string;
  /** The delimiter is not quoted: variables in the body have their values in `COPY` and `ADD`. (In `RUN` the shell sees to that.) */
  readonly expand: boolean;
  /** `<<-`: leading tabs of each line do not count. */
  readonly stripTabs: boolean;
  /** `3<<EOF`; 0 when not given. */
  readonly fileDescriptor: number;
}

/** A command: a JSON array, or text for the shell of the moment. */
export type CommandLine =
  | { readonly form: 'exec'; readonly args: readonly string[] }
  | { readonly form: 'shell'; readonly text: string; readonly heredocs: readonly Heredoc[] };

export interface SourcesAndDestination {
  /** Paths, patterns and, for `ADD`, URLs: in the order written, without heredocs. */
  readonly sources: readonly string[];
  readonly heredocs: readonly Heredoc[];
  readonly destination: string;
}

export interface CopyInstruction extends InstructionBase, SourcesAndDestination {
  readonly kind: 'copy';
  /** A stage's name or number, a named context or an image; never a variable. */
  readonly from?: string;
  readonly chown?: string;
  readonly chmod?: string;
  readonly link: boolean;
  readonly parents: boolean;
  readonly excludes: readonly string[];
}

export interface AddInstruction extends InstructionBase, SourcesAndDestination {
  readonly kind: 'add';
  readonly chown?: string;
  readonly chmod?: string;
  readonly checksum?: string;
  readonly link: boolean;
  readonly excludes: readonly string[];
  /** Undefined when not said: each kind of source has its own default. */
  readonly keepGitDir?: boolean;
  readonly unpack?: boolean;
}

export interface RunInstruction extends InstructionBase {
  readonly kind: 'run';
  readonly command: CommandLine;
  readonly mounts: readonly MountFlag[];
  readonly network: 'default' | 'none' | 'host';
  readonly security: 'sandbox' | 'insecure';
  readonly devices: readonly DeviceRequest[];
}

/** `--mount` as written; `resolveMount` (mounts.ts) reads it when variables have values. */
export interface MountFlag {
  readonly text: string;
  readonly range: Range;
  /** `from=`, which is never a variable: the stage, context or image that the mount needs. */
  readonly from?: string;
}

export type Mount = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount;

export interface BindMount {
  readonly type: 'bind';
  /** Undefined is the build context. */
  readonly from?: string;
  /** Absolute inside `from`; `/` is all of it. */
  readonly source: string;
  readonly target: string;
  /** False lets the command write; what it writes is thrown away. */
  readonly readOnly: boolean;
}

export interface CacheMount {
  readonly type: 'cache';
  /** What the cache is found by: `id`, or the target in its shortest form. */
  readonly id: string;
  readonly from?: string;
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
  readonly sharing: 'shared' | 'private' | 'locked';
  /** Of the directory that is made for an empty cache. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface TmpfsMount {
  readonly type: 'tmpfs';
  readonly target: string;
  readonly readOnly: boolean;
  /** 0 is no limit of its own. */
  readonly sizeBytes: number;
}

export interface SecretMount {
  readonly type: 'secret';
  readonly id: string;
  /** Undefined when the secret is only an environment variable. */
  readonly target?: string;
  /** The environment variable that gets the value. */
  readonly env?: string;
  readonly required: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface SshMount {
  readonly type: 'ssh';
  readonly id: string;
  /** Undefined is `/run/buildkit/ssh_agent.N`, N being the mount's place among the ssh mounts. */
  readonly target?: string;
  readonly required: boolean;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

export interface DeviceRequest {
  readonly name: string;
  readonly required: boolean;
}

export interface CmdInstruction extends InstructionBase {
  readonly kind: 'cmd';
  readonly command: CommandLine;
}

export interface EntrypointInstruction extends InstructionBase {
  readonly kind: 'entrypoint';
  readonly command: CommandLine;
}

export interface EnvInstruction extends InstructionBase {
  readonly kind: 'env';
  readonly pairs: readonly KeyValue[];
}

export interface LabelInstruction extends InstructionBase {
  readonly kind: 'label';
  readonly pairs: readonly KeyValue[];
}

export interface ArgInstruction extends InstructionBase {
  readonly kind: 'arg';
  readonly args: readonly ArgDefinition[];
}

export interface ArgDefinition {
  readonly name: string;
  /** The default; may hold variables. */
  readonly value?: string;
  /** The comment above that begins with the name. */
  readonly description?: string;
}

export interface ExposeInstruction extends InstructionBase {
  readonly kind: 'expose';
  /** In alphabetical order; may hold variables that stand for several ports. */
  readonly ports: readonly string[];
}

export interface HealthcheckInstruction extends InstructionBase {
  readonly kind: 'healthcheck';
  /** `NONE`, or `CMD`/`CMD-SHELL` and the command. */
  readonly test: readonly string[];
  /** Nanoseconds; 0 is not set. */
  readonly interval: number;
  readonly timeout: number;
  readonly startPeriod: number;
  readonly startInterval: number;
  readonly retries: number;
}

export interface MaintainerInstruction extends InstructionBase {
  readonly kind: 'maintainer';
  readonly author: string;
}

export interface OnbuildInstruction extends InstructionBase {
  readonly kind: 'onbuild';
  /** The instruction to run in a build from this image, heredocs included, as it is kept in the image. `parseTrigger` reads it. */
  readonly trigger: string;
}

export interface ShellInstruction extends InstructionBase {
  readonly kind: 'shell';
  readonly shell: readonly string[];
}

export interface StopsignalInstruction extends InstructionBase {
  readonly kind: 'stopsignal';
  readonly signal: string;
}

export interface UserInstruction extends InstructionBase {
  readonly kind: 'user';
  readonly user: string;
}

export interface VolumeInstruction extends InstructionBase {
  readonly kind: 'volume';
  readonly volumes: readonly string[];
}

export interface WorkdirInstruction extends InstructionBase {
  readonly kind: 'workdir';
  readonly path: string;
}

/** POST /containers/{id}/exec. */
export interface ExecCreateRequest {
  User?: string | undefined;
  Privileged?: boolean | undefined;
  Tty?: boolean | undefined;
  ConsoleSize?: number[] | null | undefined;
  AttachStdin?: boolean | undefined;
  AttachStdout?: boolean | undefined;
  AttachStderr?: boolean | undefined;
  DetachKeys?: string | undefined;
  Env?: string[] | null | undefined;
  WorkingDir?: string | undefined;
  Cmd?: string[] | null | undefined;
}

/** POST /exec/{id}/start. */
export interface ExecStartRequest {
  Detach?: boolean | undefined;
  Tty?: boolean | undefined;
  ConsoleSize?: number[] | null | undefined;
}

export interface ExecProcessConfig {
  tty: boolean;
  entrypoint: string;
  arguments: string[];
  privileged?: boolean | undefined;
  user?: string | undefined;
}

/** GET /exec/{id}/json. `ExitCode` is null until it has ended. */
export interface ExecInspect {
  ID: string;
  Running: boolean;
  ExitCode: number | null;
  ProcessConfig: ExecProcessConfig;
  OpenStdin: boolean;
  OpenStderr: boolean;
  OpenStdout: boolean;
  CanRemove: boolean;
  ContainerID: string;
  DetachKeys: string;
  Pid: number;
}

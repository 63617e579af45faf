import { boolean, list, object, string, stringOrList, unsigned } from '../decode.ts';
import type { ExecCreateRequest, ExecStartRequest } from '../types/exec.ts';

export const execCreateRequest = object<ExecCreateRequest>({
  User: string,
  Privileged: boolean,
  Tty: boolean,
  ConsoleSize: list(unsigned),
  AttachStdin: boolean,
  AttachStdout: boolean,
  AttachStderr: boolean,
  DetachKeys: string,
  Env: list(string),
  WorkingDir: string,
  Cmd: stringOrList,
});

export const execStartRequest = object<ExecStartRequest>({ Detach: boolean, Tty: boolean, ConsoleSize: list(unsigned) });

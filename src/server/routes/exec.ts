import { execCreateRequest, execStartRequest } from '#api/requests/exec.ts';
import type { ExecInspect } from '#api/types/exec.ts';
import { isBefore } from '#api/versions.ts';
import type { ExecDetails, TerminalSize } from '#engine/containers/service.ts';
import { invalidArgument } from '#base/errors.ts';
import type { ApiRequest } from '../api-request.ts';
import type { Services } from '../ports.ts';
import { empty, json } from '../reply.ts';
import type { Reply } from '../reply.ts';
import { route } from '../router.ts';
import type { Route } from '../router.ts';
import { hijackReply } from './container-streams.ts';

export function execRoutes({ containers }: Services): Route[] {
  return [
    route('POST /containers/{id}/exec', async request => {
      const body = await request.requireJson(execCreateRequest, 'ExecConfig');
      const id = containers.createExec(request.param('id'), {
        cmd: body.Cmd ?? [],
        env: body.Env ?? [],
        workingDir: body.WorkingDir ?? '',
        user: body.User ?? '',
        privileged: body.Privileged ?? false,
        tty: body.Tty ?? false,
        attachStdin: body.AttachStdin ?? false,
        attachStdout: body.AttachStdout ?? false,
        attachStderr: body.AttachStderr ?? false,
        detachKeys: body.DetachKeys ?? '',
        consoleSize: consoleSize(body.ConsoleSize, request),
      });
      return json({ Id: id }, 201);
    }),
    route('POST /exec/{id}/start', request => startExec(request, containers)),
    route('POST /exec/{id}/resize', async request => {
      await containers.resizeExec(request.param('id'), { height: request.query.size('h'), width: request.query.size('w') });
      return empty(200);
    }),
    route('GET /exec/{id}/json', request => json(toWireExec(containers.inspectExec(request.param('id'))))),
  ];
}

async function startExec(request: ApiRequest, containers: Services['containers']): Promise<Reply> {
  const body = (await request.json(execStartRequest, 'ExecStartConfig')) ?? {};
  const id = request.param('id');
  if (body.Detach === true) {
    await containers.startExecDetached(id, new AbortController().signal);
    return empty(200);
  }
  const size = consoleSize(body.ConsoleSize, request);
  if (size !== undefined && body.Tty !== true) throw invalidArgument('console size can only be set when a TTY is allocated');
  return hijackReply(containers.startExec(id, { detachKeys: '', consoleSize: size }), request, true);
}

/** Height and width; before 1.42 the field was for another platform. */
function consoleSize(wire: readonly number[] | null | undefined, request: ApiRequest): TerminalSize | undefined {
  const [height = 0, width = 0] = wire ?? [];
  return isBefore(request.version, '1.42') || (height === 0 && width === 0) ? undefined : { height, width };
}

const userOf = ({ user }: ExecDetails['config']): { user?: string } => (user === '' ? {} : { user });

function toWireExec(exec: ExecDetails): ExecInspect {
  const { config } = exec;
  const [entrypoint = '', ...args] = config.cmd;
  return {
    ID: exec.id,
    Running: exec.running,
    ExitCode: exec.exitCode ?? null,
    ProcessConfig: { tty: config.tty, entrypoint, arguments: args, privileged: config.privileged, ...userOf(config) },
    OpenStdin: config.attachStdin,
    OpenStderr: config.attachStderr,
    OpenStdout: config.attachStdout,
    CanRemove: false,
    ContainerID: exec.containerId,
    DetachKeys: config.detachKeys,
    Pid: exec.pid,
  };
}

import { containerConfig } from '#api/requests/container.ts';
import { invalidArgument } from '#base/errors.ts';
import type { ApiRequest } from '../api-request.ts';
import type { Services } from '../ports.ts';
import { empty, json } from '../reply.ts';
import type { Headers, StreamReply } from '../reply.ts';
import { route } from '../router.ts';
import type { Route } from '../router.ts';
import { fromWireConfig } from '../translate/container-create.ts';
import { toWireChange, toWirePathStat } from '../translate/container-files.ts';

export function containerFileRoutes({ containers }: Services): Route[] {
  return [
    route('HEAD /containers/{id}/archive', async request => {
      const stat = await containers.statPath(request.param('id'), pathOf(request), request.signal);
      return { ...empty(200), headers: { [statHeader]: toWirePathStat(stat) } };
    }),
    route('GET /containers/{id}/archive', async request => {
      const { stat, tar } = await containers.readArchive(request.param('id'), pathOf(request), request.signal);
      return tarReply(tar, 'application/x-tar', { [statHeader]: toWirePathStat(stat) });
    }),
    route('PUT /containers/{id}/archive', async request => {
      const { query } = request;
      const options = { noOverwriteDirNonDir: query.bool('noOverwriteDirNonDir'), copyUidGid: query.bool('copyUIDGID') };
      await containers.putArchive(request.param('id'), pathOf(request), options, request.body, request.signal);
      return empty(200);
    }),
    route('GET /containers/{id}/changes', async request => {
      return json((await containers.changes(request.param('id'), request.signal)).map(toWireChange));
    }),
    route('GET /containers/{id}/export', async request => {
      return tarReply(await containers.export(request.param('id'), request.signal), 'application/octet-stream');
    }),
    route('POST /commit', async request => {
      const { query } = request;
      const config = await request.json(containerConfig, 'ContainerConfig');
      const ref = query.text('container');
      const id = await containers.commit(
        ref,
        {
          repo: query.text('repo'),
          tag: query.text('tag'),
          author: query.text('author'),
          comment: query.text('comment'),
          changes: query.list('changes'),
          pause: query.bool('pause', true),
          config: config === undefined || config === null ? undefined : fromWireConfig(config),
        },
        request.signal,
      );
      return json({ Id: id }, 201);
    }),
  ];
}

const statHeader = 'X-Docker-Container-Path-Stat';

function pathOf({ query }: ApiRequest): string {
  const path = query.text('path');
  if (path === '') throw invalidArgument('bad parameter: path cannot be empty');
  return path;
}

const tarReply = (body: AsyncIterable<Uint8Array>, contentType: string, headers: Headers = {}): StreamReply => ({
  kind: 'stream',
  status: 200,
  contentType,
  headers,
  start: 'with-data',
  body,
});

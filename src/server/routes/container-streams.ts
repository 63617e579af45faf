import { messageOf } from '#base/errors.ts';
import { parseMoment } from '#api/query.ts';
import { frame, frameHeader } from '#api/stream-framing.ts';
import { isBefore } from '#api/versions.ts';
import { invalidArgument } from '#base/errors.ts';
import type { LogBatch } from '#core/logs.ts';
import type { Attachment, AttachOptions } from '#engine/containers/attach-types.ts';
import type { ApiRequest } from '../api-request.ts';
import type { UsageReport } from '#engine/containers/usage-types.ts';
import type { ContainerStats } from '#api/types/stats.ts';
import { toErrorAnswer } from '../error-response.ts';
import type { Services } from '../ports.ts';
import { empty, json } from '../reply.ts';
import type { Chunk, HijackReply, Reply } from '../reply.ts';
import { route } from '../router.ts';
import type { Route } from '../router.ts';
import { formatJson } from '../send.ts';
import { rawStream, streamType } from '../stream-types.ts';
import { toWireStats } from '../translate/container-stats.ts';
import { acceptKey } from '../websocket.ts';

export function containerStreamRoutes({ containers }: Services): Route[] {
  return [
    route('GET /containers/{id}/logs', request => streamLogs(request, containers)),
    route('GET /containers/{id}/stats', request => reportUsage(request, containers)),
    route('POST /containers/{id}/attach', async request => {
      let attachment: Attachment;
      try {
        attachment = await containers.attach(request.param('id'), attachOptions(request));
      } catch (err) {
        return refusedAttach(err);
      }
      return hijackReply(attachment, request, false);
    }),
    route('GET /containers/{id}/attach/ws', async request => {
      const accept = acceptKey(request.headers);
      const attachment = await containers.attach(request.param('id'), websocketOptions(request));
      const frames = isBefore(request.version, '1.28') ? 'text' : 'binary';
      return { ...hijackReply(attachment, request, false), framed: false, websocket: { accept, frames } };
    }),
  ];
}

function attachOptions({ query }: ApiRequest): AttachOptions {
  return {
    stdin: query.bool('stdin'),
    stdout: query.bool('stdout'),
    stderr: query.bool('stderr'),
    stream: query.bool('stream'),
    logs: query.bool('logs'),
    detachKeys: query.text('detachKeys'),
  };
}

/** Until 1.42 a websocket always had all three streams. */
function websocketOptions(request: ApiRequest): AttachOptions {
  const options = { ...attachOptions(request), stream: true };
  const { stdin, stdout, stderr } = options;
  const isAll = isBefore(request.version, '1.42') || !(stdin || stdout || stderr);
  return isAll ? { ...options, stdin: true, stdout: true, stderr: true } : options;
}

/** An attach that fails is told as plain text: that is what clients of the raw protocol read. */
function refusedAttach(err: unknown): Reply {
  const { status, body } = toErrorAnswer(err);
  return { kind: 'text', status, contentType: rawStream, text: `${body.message}\r\n` };
}

export function hijackReply(attachment: Attachment, request: ApiRequest, commonHeaders: boolean): HijackReply {
  return {
    kind: 'hijack',
    contentType: streamType(attachment.tty, request.version),
    rawContentType: rawStream,
    framed: !attachment.tty,
    commonHeaders,
    run: client => attachment.run(client),
  };
}

function streamLogs(request: ApiRequest, containers: Services['containers']): Reply {
  const { query } = request;
  const [stdout, stderr] = [query.bool('stdout'), query.bool('stderr')];
  if (!stdout && !stderr) throw invalidArgument('Bad parameters: you must choose at least one stream');
  const ref = request.param('id');
  const { tty, batches } = containers.logs(
    ref,
    {
      follow: query.bool('follow'),
      stdout,
      stderr,
      sinceNano: moment(request, 'since'),
      untilNano: moment(request, 'until'),
      tail: tailOf(query.text('tail')),
    },
    request.signal,
  );
  const details = query.bool('details') ? formatDetails(containers.logDetails(ref)) : '';
  const timestamps = query.bool('timestamps');
  return {
    kind: 'stream',
    status: 200,
    contentType: streamType(tty, request.version),
    start: 'at-once',
    body: formatEntries(batches, { tty, timestamps, details }),
    formatError: err => {
      const line = Buffer.from(`Error grabbing logs: ${messageOf(err)}\n`);
      return tty ? line : frame('systemerr', line);
    },
  };
}

async function reportUsage(request: ApiRequest, containers: Services['containers']): Promise<Reply> {
  const stream = request.query.bool('stream', true);
  const oneShot = !isBefore(request.version, '1.41') && request.query.bool('one-shot');
  const reports = containers.usage(request.param('id'), { stream, oneShot }, request.signal);
  const toWire = (report: UsageReport): ContainerStats => toWireStats(report, containers.hostMemoryBytes);
  if (!stream) {
    const { value } = await reports.next();
    return value === undefined ? empty(200) : json(toWire(value));
  }
  const body = (async function* () {
    for await (const report of reports) yield formatJson(toWire(report));
  })();
  return { kind: 'stream', status: 200, contentType: 'application/json', start: 'at-once', body };
}

/** `since=0` and nothing mean the same: from the beginning. */
function moment(request: ApiRequest, name: string): bigint | undefined {
  const text = request.query.text(name);
  const nano = text === '' ? 0n : parseMoment(text);
  if (nano === undefined) throw invalidArgument(`invalid value for "${name}": ${JSON.stringify(text)} is no time in seconds since 1970`);
  return nano === 0n ? undefined : nano;
}

/** Anything but a number from 0 up means all. */
const tailOf = (text: string): number | undefined => (/^\d{1,15}$/.test(text) ? Number(text) : undefined);

const formatDetails = (details: Readonly<Record<string, string>>): string => {
  const pairs = Object.entries(details).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${pairs.map(([key, value]) => `${queryEscape(key)}=${queryEscape(value)}`).join(',')} `;
};

/** As Go's url.QueryEscape does it. */
const queryEscape = (text: string): string =>
  encodeURIComponent(text)
    .replace(/[!'()*]/g, character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');

/** Each batch becomes one piece. */
async function* formatEntries(
  batches: AsyncIterable<LogBatch>,
  { tty, timestamps, details }: { readonly tty: boolean; readonly timestamps: boolean; readonly details: string },
): AsyncGenerator<Chunk> {
  for await (const batch of batches) {
    const pieces: Uint8Array[] = [];
    for (const { stream, time, line } of batch) {
      const prefix = timestamps ? Buffer.from(`${time} ${details}`) : Buffer.from(details);
      if (!tty) pieces.push(frameHeader(stream, prefix.length + line.length));
      if (prefix.length > 0) pieces.push(prefix);
      pieces.push(line);
    }
    yield Buffer.concat(pieces);
  }
}

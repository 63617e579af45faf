import { messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { AuditLog } from './audit.ts';
import type { Actor } from './auth/access.ts';
import { toHookEvent } from './events/hook-event.ts';
import type { Notifier } from './events/notifier.ts';
import type { Metrics } from './metrics.ts';
import { type Refusal, refusal, refusalBody, toRefusal } from './refusal.ts';
import { appendUpload, cancelUpload, deleteBlob, finishUpload, getBlob, startUpload, uploadStatus } from './routes/blobs.ts';
import { type Connection, Exchange, type Services } from './routes/exchange.ts';
import { deleteManifest, getManifest, listReferrers, listTags, putManifest } from './routes/manifests.ts';
import { getBase, getHealth, getPing, issueToken, listCatalog, search } from './routes/others.ts';
import { type Route, routeOf, type Target, targetOf } from './routes/route.ts';

export interface HandlerOptions {
  readonly services: Services;
  readonly metrics: Metrics;
  readonly notifier: Notifier;
  readonly includeReferences: boolean;
  readonly audit: AuditLog | undefined;
  readonly source: { readonly addr: string; readonly instanceID: string };
  readonly log: Logger;
  /** Sent with every answer. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Routes that say something to anybody. */
const publicRoutes: readonly Route['kind'][] = ['ping', 'token', 'health'];

/** Turns requests into answers, and tells those who want to know what was done. */
export class Handler {
  readonly #options: HandlerOptions;
  readonly #headers: readonly (readonly [string, string])[];
  #inFlight = 0;

  constructor(options: HandlerOptions) {
    this.#options = options;
    this.#headers = Object.entries({
      'Docker-Distribution-Api-Version': 'registry/2.0',
      'X-Content-Type-Options': 'nosniff',
      ...options.headers,
    });
    const { metrics } = options;
    metrics.describe('registry_http_requests_total', 'counter', 'Requests that were answered.');
    metrics.describe('registry_http_request_duration_seconds', 'histogram', 'Time until the answer began.');
    metrics.describe('registry_http_response_bytes_total', 'counter', 'Bytes of manifests and blobs that were answered with.');
    metrics.describe('registry_http_pushed_bytes_total', 'counter', 'Bytes of manifests and blobs that were stored.');
    metrics.gauge('registry_http_in_flight_requests', 'Requests whose answer has not begun.', () => this.#inFlight);
  }

  handle(request: Request, connection: Connection): Response | Promise<Response> {
    const began = performance.now();
    this.#inFlight += 1;
    let target: Target = { path: '', query: '' };
    let route: Route | undefined;
    let exchange: Exchange | undefined;
    const finish = (response: Response): Response => this.#finish(request, connection, target, route, exchange, response, began, undefined);
    const fail = (err: unknown): Response => {
      const refused = toRefusal(err);
      this.#logFailure(request, target, refused);
      return this.#finish(
        request,
        connection,
        target,
        route,
        exchange,
        this.#refuse(request, refused, exchange, connection),
        began,
        refused,
      );
    };
    try {
      target = targetOf(request.url);
      route = routeOf(target.path);
      if (route === undefined) throw refusal('UNSUPPORTED', 'there is nothing at this path', { status: 404 });
      const { services } = this.#options;
      const begin = (actor: Actor): Response | Promise<Response> => {
        exchange = new Exchange(request, target.query, services, actor, connection);
        return dispatch(exchange, route as Route);
      };
      const actor = publicRoutes.includes(route.kind) ? nobody : services.authenticator.identify(request.headers.get('authorization'));
      const answer = actor instanceof Promise ? actor.then(begin) : begin(actor);
      return answer instanceof Promise ? answer.then(finish, fail) : finish(answer);
    } catch (err) {
      return fail(err);
    }
  }

  #refuse(request: Request, refused: Refusal, exchange: Exchange | undefined, connection: Connection): Response {
    const headers: Record<string, string> = { ...refused.headers, 'Content-Type': 'application/json' };
    if (refused.status === 401 && headers['WWW-Authenticate'] === undefined) {
      const { services } = this.#options;
      const { origin } = exchange ?? new Exchange(request, '', services, nobody, connection);
      const challenge = services.authenticator.challenge([], origin, false);
      if (challenge !== '') headers['WWW-Authenticate'] = challenge;
    }
    if (refused.status === 429) headers['Retry-After'] ??= '10';
    return new Response(request.method === 'HEAD' ? null : refusalBody(refused), { status: refused.status, headers });
  }

  #logFailure(request: Request, target: Target, refused: Refusal): void {
    if (refused.status < 500 || request.signal.aborted) return;
    this.#options.log.error('a request failed', { method: request.method, path: target.path, error: refused.cause ?? refused });
  }

  #finish(
    request: Request,
    connection: Connection,
    target: Target,
    route: Route | undefined,
    exchange: Exchange | undefined,
    response: Response,
    began: number,
    refused: Refusal | undefined,
  ): Response {
    this.#inFlight -= 1;
    for (const [name, value] of this.#headers) response.headers.set(name, value);
    const { metrics, notifier, audit } = this.#options;
    const labels = { handler: route?.kind ?? 'unknown', method: request.method, code: String(response.status) };
    metrics.add('registry_http_requests_total', labels);
    metrics.observe(
      'registry_http_request_duration_seconds',
      { handler: labels.handler, method: request.method },
      (performance.now() - began) / 1000,
    );
    const activity = response.status < 400 ? exchange?.activity : undefined;
    if (activity !== undefined && request.method !== 'HEAD') {
      if (activity.action === 'push') metrics.add('registry_http_pushed_bytes_total', {}, activity.sizeBytes);
      if (activity.action === 'pull' && response.status < 300) metrics.add('registry_http_response_bytes_total', {}, activity.sizeBytes);
    }
    const tellsHooks = notifier.isNeeded && activity !== undefined && request.method !== 'HEAD' && response.status < 300;
    if (!tellsHooks && audit === undefined) return response;
    const requestId = crypto.randomUUID();
    const userAgent = request.headers.get('user-agent') ?? '';
    const remote = connection.remoteAddress();
    const actor = exchange?.actor.name ?? '';
    if (tellsHooks) {
      const { source, includeReferences } = this.#options;
      const { origin } = exchange as Exchange;
      const host = request.headers.get('host') ?? '';
      notifier.send(
        toHookEvent(activity, { origin, host, remote, method: request.method, userAgent, actor, requestId, source, includeReferences }),
      );
    }
    audit?.write({
      time: new Date().toISOString(),
      id: requestId,
      actor,
      remote,
      userAgent: userAgent.slice(0, maxLoggedText),
      method: request.method,
      path: target.path.slice(0, maxLoggedText),
      status: response.status,
      action: activity?.action,
      repository: activity?.repository,
      reference: activity?.tag,
      digest: activity?.digest,
      bytes: activity?.sizeBytes,
      from: activity?.fromRepository,
      error: refused === undefined ? undefined : `${refused.code}: ${messageOf(refused)}`.slice(0, maxLoggedText),
      ms: Math.round((performance.now() - began) * 100) / 100,
    });
    return response;
  }
}

const maxLoggedText = 1024;
const nobody: Actor = { name: '', may: () => false, maySee: () => false };

/** One row for each thing a client may ask: route, method, what answers. */
function dispatch(exchange: Exchange, route: Route): Response | Promise<Response> {
  const { method } = exchange.request;
  const isRead = method === 'GET' || method === 'HEAD';
  switch (route.kind) {
    case 'base':
      return isRead ? getBase(exchange) : notAllowed('GET, HEAD');
    case 'manifest':
      if (isRead) return getManifest(exchange, route.name, route.reference);
      if (method === 'PUT') return putManifest(exchange, route.name, route.reference);
      return method === 'DELETE' ? deleteManifest(exchange, route.name, route.reference) : notAllowed('GET, HEAD, PUT, DELETE');
    case 'blob':
      if (isRead) return getBlob(exchange, route.name, route.digest);
      return method === 'DELETE' ? deleteBlob(exchange, route.name, route.digest) : notAllowed('GET, HEAD, DELETE');
    case 'uploads':
      return method === 'POST' ? startUpload(exchange, route.name) : notAllowed('POST');
    case 'upload':
      if (method === 'PATCH') return appendUpload(exchange, route.name, route.id);
      if (method === 'PUT') return finishUpload(exchange, route.name, route.id);
      if (isRead) return uploadStatus(exchange, route.name, route.id);
      return method === 'DELETE' ? cancelUpload(exchange, route.name, route.id) : notAllowed('GET, HEAD, PATCH, PUT, DELETE');
    case 'tags':
      return isRead ? listTags(exchange, route.name) : notAllowed('GET');
    case 'referrers':
      return isRead ? listReferrers(exchange, route.name, route.digest) : notAllowed('GET');
    case 'catalog':
      return isRead ? listCatalog(exchange) : notAllowed('GET');
    case 'ping':
      return getPing();
    case 'search':
      return isRead ? search(exchange) : notAllowed('GET');
    case 'token':
      return method === 'GET' || method === 'POST' ? issueToken(exchange) : notAllowed('GET, POST');
    case 'health':
      return getHealth(exchange);
  }
}

function notAllowed(allowed: string): never {
  throw refusal('UNSUPPORTED', `this method is not allowed here: ${allowed} are`, { headers: { Allow: allowed } });
}

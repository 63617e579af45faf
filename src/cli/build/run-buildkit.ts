import { randomBytes } from 'node:crypto';
import { basename } from 'node:path';
import type { Attributes, TypeAndAttributes } from '#api/buildkit/messages.ts';
import { Control, placeOfFailure, sentenceOf, type BuildOrder } from '#client/buildkit/control.ts';
import type { ResultTarget } from '#client/buildkit/results.ts';
import { clientHandlers } from '#client/buildkit/services.ts';
import { openSession } from '#client/buildkit/session.ts';
import type { Client } from '#client/client.ts';
import type { Cli } from '../cli.ts';
import { getCredentials } from '../config/credentials.ts';
import { configDirectory } from '../config/config-file.ts';
import { hubKey } from '../config/registry-auth.ts';
import { ExitError } from '../errors.ts';
import { openAgents } from './agents.ts';
import { cacheExports, cacheImports, type Caches, noteCaches } from './caches.ts';
import type { BuildOutcome } from './classic-stream.ts';
import type { BuildContext } from './context.ts';
import { type SyncDirectory, syncSource } from './context-sync.ts';
import { frontendOptions } from './frontend-options.ts';
import { noteInLayout } from './layout.ts';
import type { NamedContexts } from './named-contexts.ts';
import { isDirectoryOutput, type Outputs, type OutputSpec } from './outputs.ts';
import type { BuildFlags } from './flags.ts';
import { platformsOf } from './request.ts';
import { parseSecrets, readSecret } from './secrets.ts';
import { sharedKeyOf } from './shared-key.ts';
import type { Display } from './status.ts';
import { TraceReader } from './trace-reader.ts';

export interface BuildKitRun {
  readonly client: Client;
  readonly context: BuildContext;
  readonly namedContexts: NamedContexts;
  readonly flags: BuildFlags;
  readonly buildArgs: Readonly<Record<string, string | null>>;
  readonly outputs: Outputs;
  readonly signal: AbortSignal;
}

/** Set by daemons whose builder pushes, and writes archives and caches, by itself. */
const exporterLabel = 'org.mobyproject.buildkit.worker.snapshotter';
/** How long after its end a build may still say something. */
const lastWordsMs = 2_000;

/**
 * Builds with the daemon's BuildKit services: it asks for the files it needs and does not have, for secrets and for credentials, over a second connection.
 * Rejects with NotFound or NotImplemented where the daemon has no such services.
 */
export async function runBuildKit(cli: Cli, run: BuildKitRun, display: Display): Promise<BuildOutcome> {
  await using connected = await connect(cli, run);
  const { control, order, exports, undelivered } = connected;
  const { signal } = run;
  const reader = new TraceReader(display);
  const over = new AbortController();
  const told = readStatus(control, order.ref, reader, AbortSignal.any([signal, over.signal]));
  try {
    const response = await control.solve(order, signal);
    await Promise.race([told, Bun.sleep(lastWordsMs)]);
    noteCaches(exports, response);
    noteLayouts(run.outputs, response);
    const { warnings } = reader;
    return { response: { ...response, 'buildx.build.ref': `default/default/${order.ref}` }, failure: undefined, warnings, undelivered };
  } catch (err) {
    signal.throwIfAborted();
    await Promise.race([told, Bun.sleep(lastWordsMs)]);
    const failure = { message: sentenceOf(err), exitCode: 0, step: reader.failedStep, place: placeOfFailure(err) };
    return { response: {}, failure, warnings: reader.warnings, undelivered: [] };
  } finally {
    over.abort(new DOMException('the build has ended', 'AbortError'));
    display.finish();
  }
}

/** What a build says is worth showing as long as it comes: the build itself says how it ends. */
async function readStatus(control: Control, ref: string, reader: TraceReader, signal: AbortSignal): Promise<void> {
  try {
    for await (const trace of control.status(ref, signal)) reader.read(trace);
  } catch {
    // The build has ended, or the connection has.
  }
}

/** What the daemon's frontend says of a build instead of building it (`--call`). */
export async function callFrontend(
  cli: Cli,
  run: BuildKitRun,
  request: string,
): Promise<{ readonly json: string; readonly text: string; readonly status: number }> {
  await using connected = await connect(cli, run);
  const { control, order } = connected;
  const answer = await control.askFrontend({ ...order, exporters: [], options: { ...order.options, requestid: request } }, run.signal);
  const text = (name: string): string => new TextDecoder().decode(answer.get(name));
  return { json: text('result.json'), text: text('result.txt'), status: Number(text('result.statuscode')) };
}

interface Connected extends AsyncDisposable {
  readonly control: Control;
  readonly order: BuildOrder;
  readonly exports: Caches;
  /** What the daemon leaves to its clients. */
  readonly undelivered: readonly OutputSpec[];
}

async function connect(cli: Cli, run: BuildKitRun): Promise<Connected> {
  const { client, context, namedContexts, flags, outputs, signal, buildArgs } = run;
  await using made = new AsyncDisposableStack();
  const [imports, exports, secrets] = [cacheImports(flags['cache-from']), cacheExports(flags['cache-to']), parseSecrets(flags.secret)];
  const agents = made.use(await openAgents(flags.ssh));
  const control = made.use(await Control.open(client.connection));
  const labels = await control.workerLabels(signal);
  const isWhole = labels[exporterLabel] !== undefined;
  if (!isWhole) checkModestBuilder(flags, outputs, exports);
  const { exporters, targets, stores, undelivered } = exportersOf(cli, outputs.specs, isWhole);
  const id = randomBytes(16).toString('hex');
  const handlers = clientHandlers({
    files: syncSource({ ...directoriesOf(context), ...namedContexts.directories }, await cli.fileAttributes()),
    secret: async secretId => readSecret(secrets.get(secretId)),
    agentSocket: name => agents.socket(name),
    credentials: host => credentialsFor(cli, host),
    results: targets,
    stores: new Map([...namedContexts.stores, ...imports.stores, ...exports.stores, ...stores]),
    archive: context.dockerfile === undefined ? () => context.open(() => undefined) : undefined,
  });
  const name = basename(context.root ?? 'stdin') || 'context';
  const session = { id, name: name.replace(/[^\x20-\x7e]/g, '_'), sharedKey: sharedKeyOf(configDirectory(cli.options), context), handlers };
  made.use(await openSession(client.connection, session));
  const parts = { context, uploadUrl: `http://buildkit-session/${id}`, buildArgs, namedContexts: namedContexts.options, outputs, labels };
  const order = {
    ref: randomBytes(12).toString('hex'),
    session: id,
    options: frontendOptions(flags, parts),
    exporters,
    cacheImports: imports.entries,
    cacheExports: [...exports.entries, ...inlineCache(buildArgs)],
    entitlements: [...flags.allow, ...(flags.network === 'host' ? ['network.host'] : [])],
  };
  const held = made.move();
  return { control, order, exports, undelivered, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

const inlineCache = ({ BUILDKIT_INLINE_CACHE: given }: BuildKitRun['buildArgs']): TypeAndAttributes[] =>
  /^(?:1|t|true)$/i.test(given ?? '') ? [{ Type: 'inline', Attrs: {} }] : [];

async function credentialsFor(cli: Cli, host: string): Promise<{ username: string; secret: string }> {
  const auth = await getCredentials(cli, host === 'registry-1.docker.io' ? hubKey : host);
  const token = auth.identitytoken ?? '';
  return token === '' ? { username: auth.username ?? '', secret: auth.password ?? '' } : { username: '', secret: token };
}

/** Refuses, before anything is sent, what a builder without exporters of its own cannot do. */
function checkModestBuilder(flags: BuildFlags, { specs }: Outputs, exports: Caches): void {
  const refuse = (what: string): never => {
    throw new ExitError(1, `ERROR: failed to build: ${what} is not supported by the builder of this daemon`);
  };
  if (platformsOf(flags).length > 1) refuse('an image for several platforms');
  for (const { Type } of exports.entries) if (Type !== 'inline') refuse(`cache export to ${Type}`);
  for (const { type } of specs) if (!['image', 'docker', 'tar', 'local'].includes(type)) refuse(`the output type ${type}`);
  if (specs.filter(({ type }) => type === 'tar' || type === 'local').length > 1 || (specs.length > 1 && specs.some(isFiles)))
    refuse('more than one output at a time');
}

const isFiles = ({ type }: OutputSpec): boolean => type === 'tar' || type === 'local';

interface Exporters {
  readonly exporters: readonly TypeAndAttributes[];
  readonly targets: ReadonlyMap<number, ResultTarget>;
  readonly stores: ReadonlyMap<string, string>;
  readonly undelivered: readonly OutputSpec[];
}

/** What the daemon is asked for, and where what it sends goes. `isWhole`: it pushes and writes archives by itself. */
function exportersOf(cli: Cli, specs: readonly OutputSpec[], isWhole: boolean): Exporters {
  const targets = new Map<number, ResultTarget>();
  const stores = new Map<string, string>();
  const left = isWhole ? [] : specs.filter(({ type, attributes }) => type === 'docker' || attributes.push === 'true');
  const asked = isWhole || specs.every(isFiles) ? specs : [keptImage(specs)];
  const exporters = asked.map((spec, index): TypeAndAttributes => {
    const { type, attributes, destination } = spec;
    if (destination === undefined) return { Type: type === 'image' ? 'moby' : type, Attrs: attributes };
    if (type === 'local') targets.set(index, { kind: 'directory', path: destination });
    else if (isDirectoryOutput(spec)) stores.set('export', destination);
    else if (destination === '') targets.set(index, { kind: 'stdout', write: chunk => cli.out.write(chunk) });
    else targets.set(index, { kind: 'file', path: destination });
    return { Type: type, Attrs: attributes };
  });
  return { exporters, targets, stores, undelivered: left };
}

function keptImage(specs: readonly OutputSpec[]): OutputSpec {
  const names = new Set(specs.flatMap(({ attributes }) => (attributes.name ?? '').split(',')).filter(name => name !== ''));
  return { type: 'image', attributes: names.size === 0 ? {} : { name: [...names].join(',') }, destination: undefined };
}

/** Says in directories with OCI layouts what has been written there. */
function noteLayouts({ specs }: Outputs, response: Attributes): void {
  const described = response['containerimage.descriptor'];
  for (const spec of specs) {
    if (spec.type === 'local' || !isDirectoryOutput(spec) || spec.destination === undefined || described === undefined) continue;
    const descriptor = JSON.parse(Buffer.from(described, 'base64').toString('utf8')) as { mediaType: string; digest: string; size: number };
    const names = (response['image.name'] ?? '').split(',').filter(name => name !== '');
    noteInLayout(spec.destination, descriptor, names.map(tagOf), names);
  }
}

const tagOf = (name: string): string => /:([^:/]+)$/.exec(name)?.[1] ?? 'latest';

/** The context, and the directory that the Dockerfile is in. */
function directoriesOf({ root, dockerfile, dockerfileDirectory }: BuildContext): Record<string, SyncDirectory> {
  const text = new TextEncoder().encode(dockerfile?.text ?? '');
  const alone: SyncDirectory = { kind: 'memory', files: new Map([[basename(dockerfile?.name ?? 'Dockerfile'), text]]) };
  return {
    context: root === undefined ? { kind: 'memory', files: new Map() } : { kind: 'disk', root },
    dockerfile: dockerfileDirectory === undefined ? alone : { kind: 'disk', root: dockerfileDirectory },
  };
}

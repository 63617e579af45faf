import { createHash } from 'node:crypto';
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { isErrno, messageOf } from '#base/errors.ts';
import { isHttpSource, parseGitReference } from '#builder/dockerfile/git-reference.ts';
import { IgnoreMatcher, ownIgnoreFile, parseIgnoreFile } from '#builder/dockerfile/ignore.ts';
import { ExitError } from '../errors.ts';
import { contextFiles } from './context-files.ts';
import { contextTar, type InlineFile, streamOf } from './context-tar.ts';
import { checkOut } from './git-checkout.ts';
import type { NeededPaths } from './needed-paths.ts';
import { isArchive, isZstd, PeekedStream } from './peeked-stream.ts';

/** What a build is made from, found and ready to be sent. */
export interface BuildContext extends AsyncDisposable {
  /** The Dockerfile's name in the context, for the daemon; undefined leaves it to the daemon. */
  readonly dockerfileName: string | undefined;
  /** Its text, when it is here. */
  readonly dockerfile: { readonly name: string; readonly text: string } | undefined;
  /** The directory on disk that the Dockerfile is in, when it is in one. */
  readonly dockerfileDirectory: string | undefined;
  /** The directory whose files are sent; undefined for a context that is an archive. */
  readonly root: string | undefined;
  /** The directory was made for this build, and goes with it. */
  readonly isFetched: boolean;
  readonly ignore: IgnoreMatcher;
  /** The archive, made while it is read. `onBytes` hears of each piece. Called once. */
  open(onBytes: (count: number) => void, needed?: NeededPaths): ReadableStream<Uint8Array>;
}

export interface ContextRequest {
  /** `PATH | URL | -` */
  readonly argument: string;
  /** `--file`; empty is the default. */
  readonly file: string;
  readonly stdin: () => ReadableStream<Uint8Array>;
  readonly signal: AbortSignal;
}

const prepareError = (text: string, cause?: unknown): ExitError => new ExitError(1, `unable to prepare context: ${text}`, { cause });

/** Finds the context that the command line names. Whatever had to be fetched for it is removed when it is disposed. */
export async function openContext(request: ContextRequest): Promise<BuildContext> {
  const { argument, file, stdin, signal } = request;
  if (argument === '-') {
    if (file === '-') throw new ExitError(1, "invalid argument: can't use stdin for both build context and dockerfile");
    return await streamContext(stdin(), file);
  }
  const written = argument.startsWith('github.com/') ? `https://${argument.replace(/(?:\.git)?(?=#|$)/, '.git')}` : argument;
  const git = parseGitReference(written);
  if (git !== undefined && !isDirectory(argument)) {
    const checkout = await checkOut(git, { signal });
    await using undo = new AsyncDisposableStack();
    undo.use(checkout);
    const given = file === '' || file === '-' ? file : join(checkout.path, file);
    const context = await directoryContext(checkout.path, given, stdin);
    const kept = undo.move();
    return { ...context, isFetched: true, [Symbol.asyncDispose]: () => kept[Symbol.asyncDispose]() };
  }
  if (isHttpSource(argument)) return await streamContext(await download(argument, signal), file);
  return await directoryContext(argument, file, stdin);
}

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;

async function download(url: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (err) {
    throw prepareError(`unable to download remote context ${url}: ${messageOf(err)}`, err);
  }
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw prepareError(`unable to download remote context ${url}: failed to GET it: ${response.status} ${response.statusText}`);
  }
  return response.body;
}

const nothingIgnored = new IgnoreMatcher([]);
const nothing = {
  root: undefined,
  isFetched: false,
  dockerfileDirectory: undefined,
  ignore: nothingIgnored,
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

/** A stream is an archive, or else a Dockerfile without a context. */
async function streamContext(stream: ReadableStream<Uint8Array>, file: string): Promise<BuildContext> {
  const peeked = new PeekedStream(stream);
  const start = await peeked.peek();
  if (isArchive(start)) {
    return {
      ...nothing,
      dockerfileName: file === '' ? undefined : file,
      dockerfile: undefined,
      // Older daemons do not know this compression.
      open: onBytes =>
        isZstd(start)
          ? peeked.stream(onBytes).pipeThrough(new DecompressionStream('zstd') as unknown as TransformStream<Uint8Array, Uint8Array>)
          : peeked.stream(onBytes),
    };
  }
  if (file !== '') throw new ExitError(1, 'ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles');
  const content = await peeked.bytes();
  const inline = { path: 'Dockerfile', mode: 0o644, content };
  return {
    ...nothing,
    dockerfileName: 'Dockerfile',
    dockerfile: { name: 'Dockerfile', text: new TextDecoder().decode(content) },
    open: onBytes => streamOf(contextTar('/', [], [inline]), onBytes),
  };
}

async function directoryContext(argument: string, file: string, stdin: ContextRequest['stdin']): Promise<BuildContext> {
  const root = realDirectory(argument);
  const found: FoundDockerfile =
    file === '-' ? { outside: await readAll(stdin()), name: 'Dockerfile', directory: undefined } : findDockerfile(root, file);
  const text = new TextDecoder().decode('outside' in found ? found.outside : readFileSync(join(root, found.inside)));
  const inside = 'outside' in found ? undefined : found.inside;
  const ignoreFile = readIgnoreFile(root, inside);
  const own = 'outside' in found && found.directory !== undefined ? readOwnIgnoreFile(found.directory, basename(found.name)) : undefined;
  const ignore = parseIgnore(own ?? ignoreFile.text, ignoreFile.name);
  const [name, inline] = 'outside' in found ? outsideFiles(found.outside, root) : [found.inside, []];
  return {
    dockerfileName: name,
    dockerfile: { name: inside ?? found.name, text },
    dockerfileDirectory: found.directory,
    root,
    isFetched: false,
    ignore,
    open(onBytes, needed) {
      const replaced = new Set(inline.map(({ path }) => path));
      const always = new Set([...(inside === undefined ? [] : [inside]), ignoreFile.name, '.dockerignore']);
      const files = contextFiles(root, { ignore, needed, always });
      return streamOf(
        contextTar(
          root,
          files.filter(({ path }) => !replaced.has(path)),
          inline,
        ),
        onBytes,
      );
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

function realDirectory(argument: string): string {
  let path: string;
  try {
    path = realpathSync(argument);
  } catch (err) {
    if (isErrno(err, 'ENOENT')) throw prepareError(`path ${JSON.stringify(argument)} not found`, err);
    throw prepareError(`unable to evaluate symlinks in context path: ${messageOf(err)}`, err);
  }
  if (!statSync(path).isDirectory()) throw prepareError(`context must be a directory: ${path}`);
  return path;
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return await new Response(stream).bytes();
}

/** Where the Dockerfile is: in the context, or elsewhere, and then what it says. */
type FoundDockerfile = { readonly name: string; readonly directory: string | undefined } & (
  | { readonly inside: string }
  | { readonly outside: Uint8Array }
);

function findDockerfile(root: string, file: string): FoundDockerfile {
  const path = file === '' ? defaultDockerfile(root) : resolve(file);
  let real: string;
  try {
    // The name may be a link; what counts is where its directory is.
    real = join(realpathSync(dirname(path)), basename(path));
    statSync(real);
  } catch (err) {
    const reason = isErrno(err, 'ENOENT') ? 'no such file or directory' : messageOf(err);
    throw prepareError(`unable to evaluate symlinks in Dockerfile path: lstat ${path}: ${reason}`, err);
  }
  const inside = relative(root, real);
  if (inside !== '' && !inside.startsWith('../') && !isAbsolute(inside)) return { inside, name: inside, directory: dirname(real) };
  return { outside: readFileSync(real), name: file, directory: dirname(real) };
}

function defaultDockerfile(root: string): string {
  const lower = join(root, 'dockerfile');
  const usual = join(root, 'Dockerfile');
  const exists = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined;
  return !exists(usual) && exists(lower) ? lower : usual;
}

/** A Dockerfile's own ignore file counts instead of the context's. */
function readIgnoreFile(root: string, dockerfile: string | undefined): { name: string; text: string } {
  for (const name of [...(dockerfile === undefined ? [] : [ownIgnoreFile(dockerfile)]), '.dockerignore']) {
    try {
      return { name, text: readFileSync(join(root, name), 'utf8') };
    } catch (err) {
      if (!isErrno(err, 'ENOENT', 'ENOTDIR')) throw prepareError(`error reading ${name}: ${messageOf(err)}`, err);
    }
  }
  return { name: '.dockerignore', text: '' };
}

/** Beside a Dockerfile that is not in the context; only BuildKit looks there. */
function readOwnIgnoreFile(directory: string, dockerfile: string): string | undefined {
  try {
    return readFileSync(join(directory, ownIgnoreFile(dockerfile)), 'utf8');
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return undefined;
    throw prepareError(`error reading ${ownIgnoreFile(dockerfile)}: ${messageOf(err)}`, err);
  }
}

function parseIgnore(text: string, name: string): IgnoreMatcher {
  try {
    return new IgnoreMatcher(parseIgnoreFile(text));
  } catch (err) {
    throw prepareError(`error reading ${name}: ${messageOf(err)}`, err);
  }
}

/** A Dockerfile from elsewhere goes along under a name of its own, and is kept out of what can be copied. */
function outsideFiles(content: Uint8Array, root: string): [name: string, files: InlineFile[]] {
  const name = `.dockerfile.${createHash('sha256').update(content).digest('hex').slice(0, 20)}`;
  let rules = '';
  try {
    rules = readFileSync(join(root, '.dockerignore'), 'utf8');
  } catch (err) {
    if (!isErrno(err, 'ENOENT')) throw err;
  }
  const extra = `${rules === '' ? '.dockerignore\n' : ''}${name}\n`;
  const ignore = `${rules}${rules === '' || rules.endsWith('\n') ? '' : '\n'}${extra}`;
  return [
    name,
    [
      { path: '.dockerignore', mode: 0o644, content: new TextEncoder().encode(ignore) },
      { path: name, mode: 0o644, content },
    ],
  ];
}

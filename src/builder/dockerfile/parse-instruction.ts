import { parseDuration } from '#base/duration.ts';
import { quote, trim } from './characters.ts';
import { type FlagKind, InstructionFlags, PartError } from './flags.ts';
import { heredocBody, parseHeredocWord } from './heredoc.ts';
import type { CommandLine, Heredoc, Instruction, InstructionBase, KeyValue, SourcesAndDestination, Stage } from './instructions.ts';
import { parseDevice, parseMountFlag } from './mounts.ts';
import type { Range } from './source.ts';
import { rangeOf, splitBlanks, type SplitStatement, splitStatement, splitWords, type Statement, type Token } from './statements.ts';
import { didYouMean } from './suggest.ts';

/** The words of an instruction, taken apart. */
interface Request extends SplitStatement {
  readonly statement: Statement;
  readonly escape: '\\' | '`';
  readonly base: InstructionBase;
}

export type StageHead = Omit<Stage, 'index' | 'instructions'>;

const parsers: Readonly<Record<string, (request: Request) => Instruction>> = {
  add: parseAdd,
  arg: parseArg,
  cmd: request => ({ ...request.base, kind: 'cmd', command: parseCommand(noFlags(request)) }),
  copy: parseCopy,
  entrypoint: request => ({ ...request.base, kind: 'entrypoint', command: parseCommand(noFlags(request)) }),
  env: request => ({ ...request.base, kind: 'env', pairs: parsePairs(request) }),
  expose: parseExpose,
  healthcheck: parseHealthcheck,
  label: request => ({ ...request.base, kind: 'label', pairs: parsePairs(request) }),
  maintainer: request => ({ ...request.base, kind: 'maintainer', author: exactlyOne(request) }),
  onbuild: parseOnbuild,
  run: parseRun,
  shell: parseShell,
  // Flags of STOPSIGNAL are not looked at, as BuildKit does not.
  stopsignal: request => ({ ...request.base, kind: 'stopsignal', signal: exactlyOne({ ...request, flags: [] }) }),
  user: request => ({ ...request.base, kind: 'user', user: exactlyOne(request) }),
  volume: parseVolume,
  workdir: request => ({ ...request.base, kind: 'workdir', path: exactlyOne(request) }),
};

const instructionNames = ['FROM', ...Object.keys(parsers).map(name => name.toUpperCase())];

/** Reads one statement. Throws PartError with what is wrong in it. */
export function parseStatement(statement: Statement, escape: '\\' | '`'): Instruction | StageHead {
  const split = splitStatement(statement.text, escape);
  const { comments, range } = statement;
  const base = { keyword: split.keyword, code: trim(statement.text), range, comments };
  const request: Request = { ...split, statement, escape, base };
  const name = split.keyword.toLowerCase();
  if (name === 'from') return parseFrom(request);
  const parse = Object.hasOwn(parsers, name) ? parsers[name] : undefined;
  if (parse === undefined) {
    const hint = didYouMean(split.keyword, instructionNames, { ignoreCase: true });
    throw new PartError(
      `unknown instruction: ${split.keyword}${hint}`,
      rangeOf(statement, statement.text.indexOf(split.keyword), split.keyword.length),
    );
  }
  return parse(request);
}

/** Only `RUN`, `COPY` and `ADD` have documents, also as triggers, and only when they are no JSON array. */
export function takesHeredocs(text: string, escape: string): boolean {
  const { keyword, rest } = splitStatement(text, escape);
  const name = keyword.toLowerCase();
  if (name === 'onbuild') return takesHeredocs(rest, escape);
  return (name === 'run' || name === 'copy' || name === 'add') && !isJsonArray(rest);
}

function isJsonArray(text: string): boolean {
  try {
    return parseJsonArray(text) !== undefined;
  } catch {
    // An array of other things: parsing the statement says so.
    return true;
  }
}

const rangeOfToken = ({ statement }: Request, token: Token & { readonly length: number }): Range =>
  rangeOf(statement, token.offset, token.length);

/** A part of what follows the flags. */
const rangeOfRest = ({ statement, restOffset }: Request, token: Token): Range =>
  rangeOf(statement, restOffset + token.offset, token.text.length);

const flagsOf = (request: Request, kinds: Readonly<Record<string, FlagKind>>): InstructionFlags =>
  new InstructionFlags(request.flags, kinds, token => rangeOfToken(request, token));

function noFlags(request: Request): Request {
  flagsOf(request, {});
  return request;
}

const nameOf = ({ keyword }: Request): string => keyword.toUpperCase();

const atLeastOne = (request: Request): PartError => new PartError(`${nameOf(request)} requires at least one argument`);

function exactlyOne(request: Request): string {
  if (request.rest === '') throw new PartError(`${nameOf(request)} requires exactly one argument`);
  noFlags(request);
  return request.rest;
}

/** The strings of a JSON array; undefined for a text that is none. */
function parseJsonArray(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Then it is words, or a command for the shell, that begin with a bracket.
    return undefined;
  }
  if (!Array.isArray(value)) return undefined;
  if (!value.every(entry => typeof entry === 'string')) {
    throw new PartError('when using JSON array syntax, arrays must be comprised of strings only');
  }
  return value;
}

function parseCommand(request: Request): CommandLine {
  const args = parseJsonArray(request.rest);
  if (args !== undefined) return { form: 'exec', args };
  return { form: 'shell', text: request.rest, heredocs: request.statement.heredocs };
}

const stageName = /^[a-z][a-z0-9-_.]*$/;

function parseFrom(request: Request): StageHead {
  const words = splitBlanks(request.rest);
  const [base, as, name] = words;
  const isNamed = words.length === 3 && as?.text.toLowerCase() === 'as';
  if (base === undefined || (words.length !== 1 && !isNamed)) {
    throw new PartError('FROM requires either one or three arguments: FROM image [AS name]');
  }
  const lower = name?.text.toLowerCase();
  if (name !== undefined && lower !== undefined && !stageName.test(lower)) {
    throw new PartError(
      `invalid name for build stage: ${quote(name.text)}, name can't start with a number or contain symbols`,
      rangeOfRest(request, name),
    );
  }
  const flags = flagsOf(request, { platform: 'once' });
  const platform = flags.text('platform');
  const description = lower === undefined ? undefined : descriptionOf(request.statement.comments, lower);
  const { keyword, code, range, comments } = request.base;
  return {
    baseName: base.text,
    ...(lower !== undefined && name !== undefined && as !== undefined && { name: lower, writtenName: name.text, asKeyword: as.text }),
    ...(platform !== undefined && { platform }),
    ...(description !== undefined && { description }),
    keyword,
    code,
    range,
    comments,
  };
}

function descriptionOf(comments: readonly string[], name: string): string | undefined {
  return comments.find(comment => comment.startsWith(`${name} `))?.slice(name.length + 1);
}

function parseSourcesAndDestination(request: Request): SourcesAndDestination {
  const words: readonly Token[] = parseJsonArray(request.rest)?.map(text => ({ text, offset: 0 })) ?? splitBlanks(request.rest);
  const destination = words.at(-1);
  const command = nameOf(request);
  if (destination === undefined || words.length < 2) {
    throw new PartError(`${command} requires at least two arguments, but only one was provided. Destination could not be determined`);
  }
  if (parseHeredocWord(destination.text) !== undefined) {
    throw new PartError(`${command} cannot accept a heredoc as a destination`, rangeOfRest(request, destination));
  }
  const sources: string[] = [];
  const heredocs: Heredoc[] = [];
  for (const { text } of words.slice(0, -1)) {
    const announced = parseHeredocWord(text);
    if (announced === undefined) sources.push(text);
    else {
      const document = request.statement.heredocs.findLast(heredoc => heredoc.name === announced.name);
      heredocs.push({ ...announced, content: document?.content ?? '' });
    }
  }
  return { sources, heredocs, destination: destination.text };
}

function parseCopy(request: Request): Instruction {
  const places = parseSourcesAndDestination(request);
  const flags = flagsOf(request, {
    chown: 'once',
    from: 'once',
    chmod: 'once',
    link: 'switch',
    exclude: 'many',
    parents: 'switch',
  });
  const [from, chown, chmod] = [flags.text('from'), flags.text('chown'), flags.text('chmod')];
  return {
    ...request.base,
    kind: 'copy',
    ...places,
    ...(from !== undefined && { from }),
    ...(chown !== undefined && { chown }),
    ...(chmod !== undefined && { chmod }),
    link: flags.isOn('link') ?? false,
    parents: flags.isOn('parents') ?? false,
    excludes: flags.all('exclude').map(({ value }) => value),
  };
}

function parseAdd(request: Request): Instruction {
  const places = parseSourcesAndDestination(request);
  const flags = flagsOf(request, {
    chown: 'once',
    chmod: 'once',
    link: 'switch',
    'keep-git-dir': 'switch',
    checksum: 'once',
    unpack: 'switch',
    exclude: 'many',
  });
  const [chown, chmod, checksum] = [flags.text('chown'), flags.text('chmod'), flags.text('checksum')];
  const [keepGitDir, unpack] = [flags.isOn('keep-git-dir'), flags.isOn('unpack')];
  return {
    ...request.base,
    kind: 'add',
    ...places,
    ...(chown !== undefined && { chown }),
    ...(chmod !== undefined && { chmod }),
    ...(checksum !== undefined && { checksum }),
    link: flags.isOn('link') ?? false,
    excludes: flags.all('exclude').map(({ value }) => value),
    ...(keepGitDir !== undefined && { keepGitDir }),
    ...(unpack !== undefined && { unpack }),
  };
}

function parseRun(request: Request): Instruction {
  const flags = flagsOf(request, { mount: 'many', network: 'once', security: 'once', device: 'many' });
  const command = parseCommand(request);
  const network = flags.one('network') ?? { value: 'default', range: request.base.range };
  const security = flags.one('security') ?? { value: 'sandbox', range: request.base.range };
  const mounts = flags.all('mount').map(({ value, range }) => parseMountFlag(value, range));
  if (network.value !== 'default' && network.value !== 'none' && network.value !== 'host') {
    throw new PartError(
      `invalid network mode ${quote(network.value)}${didYouMean(network.value, ['default', 'none', 'host'])}`,
      network.range,
    );
  }
  if (security.value !== 'sandbox' && security.value !== 'insecure') {
    throw new PartError(
      `security ${quote(security.value)} is not valid${didYouMean(security.value, ['sandbox', 'insecure'])}`,
      security.range,
    );
  }
  return {
    ...request.base,
    kind: 'run',
    command,
    mounts,
    network: network.value,
    security: security.value,
    devices: flags.all('device').map(({ value, range }) => parseDevice(value, range)),
  };
}

const parsePairs = (request: Request): KeyValue[] => readPairs(noFlags(request));

function readPairs(request: Request): KeyValue[] {
  const words = splitWords(request.rest, request.escape);
  const [first] = words;
  const command = nameOf(request);
  if (first === undefined) throw atLeastOne(request);
  if (!first.text.includes('=')) {
    const blank = /[\t\v\f\r ]+/.exec(request.rest);
    if (blank === null) throw new PartError(`${command} must have two arguments`);
    return [{ key: request.rest.slice(0, blank.index), value: request.rest.slice(blank.index + blank[0].length), legacy: true }];
  }
  return words.map(word => {
    const at = word.text.indexOf('=');
    if (at < 0) {
      throw new PartError(
        `Syntax error - can't find = in ${quote(word.text)}. Must be of the form: name=value`,
        rangeOfRest(request, word),
      );
    }
    if (at === 0) throw new PartError(`${command} names can not be blank`, rangeOfRest(request, word));
    return { key: word.text.slice(0, at), value: word.text.slice(at + 1), legacy: false };
  });
}

function parseArg(request: Request): Instruction {
  const words = splitWords(request.rest, request.escape);
  if (words.length === 0) throw atLeastOne(request);
  const args = words.map(word => {
    const at = word.text.indexOf('=');
    const name = at < 0 ? word.text : word.text.slice(0, at);
    if (name === '') throw new PartError('ARG names can not be blank', rangeOfRest(request, word));
    const description = descriptionOf(request.statement.comments, name);
    return { name, ...(at >= 0 && { value: word.text.slice(at + 1) }), ...(description !== undefined && { description }) };
  });
  return { ...request.base, kind: 'arg', args };
}

function parseExpose(request: Request): Instruction {
  const ports = splitBlanks(request.rest).map(({ text }) => text);
  if (ports.length === 0) throw atLeastOne(request);
  noFlags(request);
  return { ...request.base, kind: 'expose', ports: ports.sort() };
}

function parseVolume(request: Request): Instruction {
  const words = parseJsonArray(request.rest) ?? splitBlanks(request.rest).map(({ text }) => text);
  if (words.length === 0) throw atLeastOne(request);
  noFlags(request);
  const volumes = words.map(trim);
  if (volumes.includes('')) throw new PartError('VOLUME specified can not be an empty string');
  return { ...request.base, kind: 'volume', volumes };
}

function parseShell(request: Request): Instruction {
  noFlags(request);
  if (request.rest === '') throw atLeastOne(request);
  const shell = parseJsonArray(request.rest);
  if (shell === undefined) throw new PartError('SHELL requires the arguments to be in JSON form');
  if (shell.length === 0) throw atLeastOne(request);
  return { ...request.base, kind: 'shell', shell };
}

function parseOnbuild(request: Request): Instruction {
  if (request.rest === '') throw atLeastOne(request);
  noFlags(request);
  const first = splitStatement(request.rest, request.escape);
  const instruction = first.keyword.toUpperCase();
  if (instruction === 'ONBUILD') throw new PartError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (instruction === 'MAINTAINER' || instruction === 'FROM') throw new PartError(`${instruction} isn't allowed as an ONBUILD trigger`);
  // What is wrong with the words of the trigger is wrong here already; whether it makes sense, the build that runs it finds out.
  if (instruction === 'ENV' || instruction === 'LABEL')
    readPairs({ ...request, ...first, restOffset: request.restOffset + first.restOffset });
  else parseJsonArray(first.rest);
  const bodies = request.statement.heredocs.map(({ content, name }) => `\n${content}${name}`);
  return { ...request.base, kind: 'onbuild', trigger: request.statement.text.replace(/^\s*ONBUILD\s*/i, '') + bodies.join('') };
}

const healthFlags: Readonly<Record<string, FlagKind>> = {
  interval: 'once',
  timeout: 'once',
  'start-period': 'once',
  'start-interval': 'once',
  retries: 'once',
};

function parseHealthcheck(request: Request): Instruction {
  const [, word = '', rest = ''] = /^(\S+)\s*([^]*)$/.exec(request.rest) ?? [];
  if (word === '') throw atLeastOne(request);
  const unset = { interval: 0, timeout: 0, startPeriod: 0, startInterval: 0, retries: 0 };
  if (word.toUpperCase() === 'NONE') {
    if (rest !== '') throw new PartError('HEALTHCHECK NONE takes no arguments');
    return { ...request.base, kind: 'healthcheck', test: ['NONE'], ...unset };
  }
  const flags = flagsOf(request, healthFlags);
  if (word.toUpperCase() !== 'CMD') throw new PartError(`Unknown type ${quote(word.toUpperCase())} in HEALTHCHECK (try CMD)`);
  const args = parseJsonArray(rest);
  if (rest === '' || args?.length === 0) throw new PartError('Missing command after HEALTHCHECK CMD');
  return {
    ...request.base,
    kind: 'healthcheck',
    test: args === undefined ? ['CMD-SHELL', rest] : ['CMD', ...args],
    interval: parseInterval(flags, 'interval'),
    timeout: parseInterval(flags, 'timeout'),
    startPeriod: parseInterval(flags, 'start-period'),
    startInterval: parseInterval(flags, 'start-interval'),
    retries: parseRetries(flags),
  };
}

const shortestNanos = 1_000_000n;

function parseInterval(flags: InstructionFlags, name: string): number {
  const flag = flags.one(name);
  if (flag === undefined || flag.value === '') return 0;
  let nanos: bigint;
  try {
    nanos = parseDuration(flag.value);
  } catch (err) {
    throw new PartError(err instanceof Error ? err.message : String(err), flag.range);
  }
  if (nanos !== 0n && nanos < shortestNanos) throw new PartError(`Interval ${quote(name)} cannot be less than 1ms`, flag.range);
  return Number(nanos);
}

function parseRetries(flags: InstructionFlags): number {
  const flag = flags.one('retries');
  if (flag === undefined || flag.value === '') return 0;
  const retries = /^[+-]?\d+$/.test(flag.value) ? Number(flag.value) : Number.NaN;
  if (Number.isNaN(retries)) throw new PartError(`strconv.ParseInt: parsing ${quote(flag.value)}: invalid syntax`, flag.range);
  if (retries > 0x7fff_ffff) throw new PartError(`strconv.ParseInt: parsing ${quote(flag.value)}: value out of range`, flag.range);
  if (retries < 0) throw new PartError(`--retries cannot be negative (${retries})`, flag.range);
  return retries;
}

/** The body of a command's only document when the whole command is that document (`RUN <<EOF`); undefined otherwise. */
export function soleDocument(command: CommandLine): { readonly name: string; readonly body: string } | undefined {
  if (command.form === 'exec' || parseHeredocWord(command.text) === undefined) return undefined;
  const [document] = command.heredocs;
  return document === undefined ? undefined : { name: document.name, body: heredocBody(document) };
}

import { quote } from './characters.ts';
import { PartError } from './flags.ts';
import { isHttpSource, parseGitReference } from './git-reference.ts';
import { heredocBody } from './heredoc.ts';
import type { AddInstruction, CopyInstruction } from './instructions.ts';
import type { AddOperation, CopyOperation } from './operations.ts';
import { resolveInside } from './stage-state.ts';

export type CopyLike = AddInstruction | CopyInstruction;

export interface CopyContext {
  /** Gives a word its variables' values. */
  readonly word: (text: string) => string;
  /** Gives a document its variables' values and leaves the rest as it is. */
  readonly document: (text: string) => string;
  readonly title: string;
  readonly cwd: string;
}

/** What a `COPY` or `ADD` does, and its line in the history. */
export function copyOf(
  instruction: CopyLike,
  { word, document, title, cwd }: CopyContext,
): { operation: CopyOperation | AddOperation; history: string } {
  const chown = instruction.chown === undefined ? '' : word(instruction.chown);
  const chmod = instruction.chmod === undefined ? '' : word(instruction.chmod);
  const sources = instruction.sources.map(word);
  const written = word(instruction.destination);
  const files = instruction.heredocs.map(heredoc => {
    const content = heredocBody(heredoc);
    return { name: heredoc.name, content: heredoc.expand ? document(content) : content };
  });
  checkMode(chmod);
  const common = {
    title,
    range: instruction.range,
    sources,
    files,
    destination: resolveInside(cwd, written === '.' || written === '' ? './' : written, { keepSlash: true }),
    ...(chown !== '' && { chown }),
    ...(chmod !== '' && { chmod }),
    link: instruction.link,
    excludes: instruction.excludes,
  };
  const words = [
    instruction.kind === 'add' ? 'ADD' : 'COPY',
    ...(instruction.kind === 'copy' && instruction.parents ? ['--parents'] : []),
    ...(chown === '' ? [] : [`--chown=${chown}`]),
    ...(chmod === '' ? [] : [`--chmod=${chmod}`]),
    ...sources,
    ...files.map(({ name }) => `<<${name}`),
    written,
  ];
  const operation = instruction.kind === 'add' ? addOf(instruction, common, word) : copyOnly(instruction, common);
  return { operation, history: words.join(' ') };
}

type Common = Omit<CopyOperation, 'kind' | 'from' | 'parents'>;

function copyOnly({ from, parents }: CopyInstruction, common: Common): CopyOperation {
  for (const source of common.sources) {
    if (isHttpSource(source)) throw new PartError("source can't be a URL for COPY");
    if (parseGitReference(source) !== undefined) throw new PartError("source can't be a git ref for COPY");
  }
  return { kind: 'copy', ...common, ...(from !== undefined && { from }), parents };
}

function addOf(instruction: AddInstruction, common: Common, word: (text: string) => string): AddOperation {
  const checksum = instruction.checksum === undefined ? '' : word(instruction.checksum);
  const { keepGitDir, unpack } = instruction;
  const [first = ''] = common.sources;
  const git = common.sources.map(parseGitReference);
  if (checksum !== '') {
    if (common.sources.length !== 1) throw new PartError("checksum can't be specified for multiple sources");
    if (!isHttpSource(first) && git[0] === undefined) throw new PartError('checksum requires HTTP(S) or Git sources');
    if (git[0] === undefined && !/^[a-z0-9]+:[0-9a-f]{32,}$/.test(checksum))
      throw new PartError(`invalid checksum digest format: ${quote(checksum)}`);
    const asked = git[0]?.checksum;
    if (asked !== undefined && asked !== checksum) throw new PartError(`checksum mismatch ${quote(checksum)} != ${quote(asked)}`);
  }
  for (const reference of git) {
    if (keepGitDir !== undefined && reference?.keepGitDir !== undefined && reference.keepGitDir !== keepGitDir) {
      throw new PartError('inconsistent keep-git-dir configuration');
    }
  }
  return {
    kind: 'add',
    ...common,
    ...(checksum !== '' && { checksum }),
    ...(keepGitDir !== undefined && { keepGitDir }),
    ...(unpack !== undefined && { unpack }),
  };
}

const symbolicMode = /^[ugoa]*(?:[-+=](?:[rwxXst]*|[ugo]))+$/;

function checkMode(mode: string): void {
  if (mode === '' || mode.split(',').every(clause => symbolicMode.test(clause))) return;
  if (/^[0-7]+$/.test(mode) && Number.parseInt(mode, 8) <= 0o7777) return;
  throw new PartError(`invalid chmod parameter: '${mode}'. it should be octal string and between 0 and 07777`);
}

/** A statement as progress shows it: the word in upper case, the variables' values in their places. */
export function titleOf(code: string, expand: (text: string) => string): string {
  let shown = code;
  try {
    shown = expand(code);
  } catch {
    // A shell knows more forms than we do.
  }
  return shown.replace(/^\S+/, word => word.toUpperCase());
}

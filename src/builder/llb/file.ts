import { posix } from 'node:path';
import { kindOf, notFound } from '#base/errors.ts';
import type { FileChange, FileSource } from '#core/build-files.ts';
import type { Owner } from '#core/id-map.ts';
import type { SourceTree } from '../operations/copy.ts';
import type { PreparedWork } from '../solver/perform.ts';
import type { ActionInput, ChangeAction, CopyAction, FileAction, FileOwner, FileWork, GraphNode } from './graph.ts';
import type { NodeInputs } from './node-inputs.ts';
import { emptyTree, type Tree } from './tree.ts';

/** What an action does, with all that it needs at hand. */
interface ReadyAction {
  readonly action: FileAction;
  readonly source: SourceTree | undefined;
  /** Where the names of owners are looked up; undefined: where the files go. */
  readonly accounts: SourceTree | undefined;
  /** What its result depends on. */
  readonly identity: unknown;
}

/** The trees that changes of files make. Actions that stand on each other, of which nobody wants the trees between, leave one layer together. */
export async function makeFiles(inputs: NodeInputs, node: GraphNode, { actions }: FileWork): Promise<Tree[]> {
  const made = new Map<number, Promise<Tree>>();
  const treeOf = async (from: ActionInput): Promise<Tree> => {
    if (from === undefined) return emptyTree;
    return from.from === 'input' ? await inputs.input(node, from.index) : await treeAfter(from.index);
  };
  const treeAfter = (place: number): Promise<Tree> => {
    const known = made.get(place);
    if (known !== undefined) return known;
    const tree = makeChain(inputs, node, chainTo(actions, place), treeOf);
    tree.catch(() => undefined);
    made.set(place, tree);
    return tree;
  };
  const trees: Tree[] = [];
  for (const [place, { output }] of actions.entries()) if (output !== undefined) trees[output] = await treeAfter(place);
  return trees;
}

/** The actions that lead to one, back to where a tree is wanted by somebody else. */
function chainTo(actions: readonly FileAction[], place: number): FileAction[] {
  const action = actions[place];
  if (action === undefined) return [];
  const before = action.input?.from === 'action' ? action.input.index : undefined;
  const isOwn = before !== undefined && actions[before]?.output === undefined;
  return isOwn ? [...chainTo(actions, before), action] : [action];
}

async function makeChain(
  inputs: NodeInputs,
  node: GraphNode,
  chain: readonly FileAction[],
  treeOf: (from: ActionInput) => Promise<Tree>,
): Promise<Tree> {
  const base = await inputs.layersOf(await treeOf(chain[0]?.input));
  const ready: ReadyAction[] = [];
  for (const action of chain) ready.push(await prepare(inputs, action, treeOf));
  const work: PreparedWork = {
    identity: { file: ready.map(({ identity }) => identity) },
    description: node.name,
    isLinked: false,
    isProcess: false,
    async perform({ rootPath }, _tell, signal) {
      for (const each of ready) await perform(inputs, each, rootPath, signal);
    },
  };
  const { layer } = await inputs.perform(node, base, work);
  return { kind: 'layers', layers: layer === undefined ? base : [...base, layer] };
}

async function prepare(inputs: NodeInputs, action: FileAction, treeOf: (from: ActionInput) => Promise<Tree>): Promise<ReadyAction> {
  const owner = action.kind === 'remove' ? undefined : action.owner;
  const accounts = owner?.accounts === undefined ? undefined : await inputs.sourceOf(await treeOf(owner.accounts));
  const { input: _input, output: _output, ...own } = action;
  if (own.kind !== 'copy') return { action, source: undefined, accounts, identity: identityOf(own) };
  const source = await inputs.sourceOf(await treeOf(own.from));
  const { from: _from, ...rest } = own;
  const content = await digestOf(inputs, own, source);
  return { action, source, accounts, identity: { ...identityOf(rest), content } };
}

/** As JSON data. */
const identityOf = (action: Omit<CopyAction, 'from'> | ChangeAction): object =>
  JSON.parse(
    JSON.stringify(action, (_key, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value,
    ),
  ) as object;

async function digestOf({ session }: NodeInputs, action: CopyAction, source: SourceTree): Promise<string | null> {
  try {
    return await session.context.files.digest([fileSource(action, source)], session.signal);
  } catch (err) {
    if (action.allowsNothing && kindOf(err) === 'NotFound') return null;
    throw err;
  }
}

/** Patterns of what is wanted are exceptions from leaving everything out. */
function fileSource({ source, hasWildcard, includes, excludes, unpack }: CopyAction, { root }: SourceTree): FileSource {
  const pattern = hasWildcard ? source : source.replace(/[*?[\\]/g, '\\$&');
  const wanted = includes.length === 0 ? [] : ['**', ...includes.map(each => `!${each}`)];
  return { root, pattern, parents: false, excludes: [...wanted, ...excludes], keepOwners: true, unpack };
}

async function perform({ session }: NodeInputs, ready: ReadyAction, rootPath: string, signal: AbortSignal): Promise<void> {
  const { files } = session.context;
  const { action, source, accounts } = ready;
  const ownerOf = (owner: FileOwner | undefined): Owner | undefined =>
    owner &&
    session.context.steps.owner(accounts?.root ?? rootPath, owner.group === undefined ? owner.user : `${owner.user}:${owner.group}`);
  if (action.kind === 'copy') {
    if (source === undefined) return;
    return await copy(session.context.files, action, fileSource(action, source), { root: rootPath, owner: ownerOf(action.owner) }, signal);
  }
  await files.change(rootPath, toChange(action, action.kind === 'remove' ? undefined : ownerOf(action.owner)), signal);
}

function toChange(action: ChangeAction, owner: Owner | undefined): FileChange {
  if (action.kind === 'remove') {
    const { path, allowsMissing, hasWildcard } = action;
    return { kind: 'remove', path, allowsMissing, hasWildcard };
  }
  const made = { path: action.path, owner, timeNs: action.timeNs === undefined ? undefined : String(action.timeNs) };
  if (action.kind === 'file') return { kind: 'file', ...made, mode: action.mode, content: Buffer.from(action.content).toString('base64') };
  if (action.kind === 'directory') return { kind: 'directory', ...made, mode: action.mode, withParents: action.withParents };
  return { kind: 'symlink', ...made, target: action.target };
}

type Files = NodeInputs['session']['context']['files'];

async function copy(
  files: Files,
  action: CopyAction,
  from: FileSource,
  { root, owner }: { readonly root: string; readonly owner: Owner | undefined },
  signal: AbortSignal,
): Promise<void> {
  const destination = posix.join('/', action.destination, action.destination.endsWith('/') ? '/' : '');
  const parent = posix.dirname(destination);
  if (!action.makesParents && files.kindOf(root, parent) === 'missing') throw notFound(`${parent}: no such file or directory`);
  try {
    const whole = isWhole(files, action, from, root, destination);
    const timeNs = action.timeNs === undefined ? undefined : String(action.timeNs);
    await files.copy([{ ...from, whole }], { root, path: destination, owner, mode: action.mode, timeNs }, signal);
  } catch (err) {
    if (!(action.allowsNothing && kindOf(err) === 'NotFound')) throw err;
  }
}

/** Where something with its name fits, a directory is copied itself, not only what is in it. */
function isWhole(
  files: Files,
  { contentsOnly, source, hasWildcard }: CopyAction,
  { root: from }: FileSource,
  root: string,
  destination: string,
): boolean {
  if (contentsOnly) return false;
  if (!hasWildcard && files.kindOf(from, source) !== 'directory') return false;
  return destination.endsWith('/') || files.kindOf(root, destination) === 'directory';
}

import { invalidArgument, notImplemented } from '#base/errors.ts';
import type { Definition } from '#api/buildkit/messages.ts';
import type {
  ActionInput,
  Edge,
  ExecMount,
  ExecWork,
  FileAction,
  FileOwner,
  Graph,
  GraphNode,
  GraphWork,
  InputIndex,
  LentFile,
} from '#builder/llb/graph.ts';
import { sha256 } from '#oci/digest.ts';
import { normalizePlatform } from '#oci/platform.ts';
import { codec } from './codec.ts';
import type { WireAction, WireCopy, WireExec, WireLent, WireMount, WireOp, WireOpMetadata, WireOwner, WireUser } from './llb-messages.ts';

const ops = codec<WireOp>('pb.Op');

/** Reads a graph. Rejects with InvalidArgument for one that is not whole, NotImplemented for work that is not known here. */
export function readGraph({ def, metadata = {} }: Definition): Graph {
  const all = def.map(bytes => ({ digest: sha256(bytes), op: decode(bytes) }));
  const last = all.at(-1);
  if (last === undefined) return { root: undefined, nodes: new Map() };
  // The last one does nothing but say which tree is meant.
  const [root] = last.op.inputs;
  if (root === undefined || workKind(last.op) !== undefined) throw invalidArgument('invalid graph: its last entry does not name a result');
  const known = new Map(all.slice(0, -1).map(({ digest, op }) => [digest as string, op]));
  for (const [digest, op] of [...known, ['the last entry', last.op] as const]) {
    for (const input of op.inputs)
      if (!known.has(input.digest)) throw invalidArgument(`invalid graph: ${digest} needs ${input.digest}, which is not part of it`);
  }
  const nodes = [...known].map(([digest, op]) => [digest, toNode(digest, op, metadata[digest] as WireOpMetadata | undefined)] as const);
  return { root: toEdge(root), nodes: new Map(nodes) };
}

function decode(bytes: Uint8Array): WireOp {
  try {
    return ops.decode(bytes);
  } catch (cause) {
    throw invalidArgument('invalid graph: an entry cannot be read', { cause });
  }
}

const toEdge = ({ digest, index }: WireOp['inputs'][number]): Edge => ({ digest, index });

const workKinds = ['exec', 'source', 'file', 'build', 'merge', 'diff'] as const;

const workKind = (op: WireOp): (typeof workKinds)[number] | undefined => workKinds.find(kind => op[kind] !== null);

function toNode(digest: string, op: WireOp, metadata: WireOpMetadata | undefined): GraphNode {
  const work = toWork(op, metadata);
  const { platform } = op;
  return {
    digest,
    inputs: op.inputs.map(toEdge),
    work,
    platform:
      platform === null || platform.OS === ''
        ? undefined
        : normalizePlatform({ os: platform.OS, architecture: platform.Architecture, variant: platform.Variant }),
    name: metadata?.description['llb.customname'] ?? nameOf(work),
    ignoresCache: metadata?.ignore_cache ?? false,
  };
}

function toWork(op: WireOp, metadata: WireOpMetadata | undefined): GraphWork {
  const input = inputIn(op);
  if (op.source !== null) return { kind: 'source', identifier: op.source.identifier, attributes: op.source.attrs };
  if (op.exec !== null) return toExec(op.exec, metadata, input);
  if (op.file !== null) return { kind: 'file', actions: op.file.actions.map((action, index) => toAction(action, index, op.inputs.length)) };
  if (op.merge !== null) return { kind: 'merge', inputs: op.merge.inputs.map(each => input(each.input)) };
  if (op.diff !== null) return { kind: 'diff', lower: input(op.diff.lower?.input ?? none), upper: input(op.diff.upper?.input ?? none) };
  if (op.build !== null) throw notImplemented('graphs that build other graphs (BuildOp) are not built by this daemon');
  throw invalidArgument('invalid graph: an entry has no work that is known here');
}

const none = -1;

const inputIn =
  ({ inputs }: WireOp) =>
  (index: number): InputIndex => {
    if (index === none) return undefined;
    if (!Number.isSafeInteger(index) || index < 0 || index >= inputs.length)
      throw invalidArgument(`invalid graph: there is no input ${String(index)} among ${String(inputs.length)}`);
    return index;
  };

function nameOf(work: GraphWork): string {
  switch (work.kind) {
    case 'source':
      return work.identifier;
    case 'exec':
      return work.args.join(' ');
    case 'file':
      return work.actions.map(titleOf).join(', ');
    case 'merge':
    case 'diff':
      return work.kind;
  }
}

function titleOf(action: FileAction): string {
  if (action.kind === 'copy') return `copy ${action.source} ${action.destination}`;
  const verbs = { file: 'mkfile', directory: 'mkdir', symlink: 'symlink', remove: 'rm' } as const;
  return `${verbs[action.kind]} ${action.path}`;
}

/** What a process may be asked for, by the places in BuildKit's lists. */
const networks = ['default', 'host', 'none'] as const;
const securities = ['sandbox', 'insecure'] as const;
const sharings = ['shared', 'private', 'locked'] as const;

function choice<T extends string>(what: string, all: readonly T[], index: number): T {
  const chosen = all[index];
  if (chosen === undefined) throw invalidArgument(`invalid graph: there is no ${what} with the number ${String(index)}`);
  return chosen;
}

function toExec(exec: WireExec, metadata: WireOpMetadata | undefined, input: (index: number) => InputIndex): ExecWork {
  const { meta, mounts, network, security, secretenv, cdiDevices } = exec;
  if (meta === null || meta.args.length === 0) throw invalidArgument('invalid graph: a process has no arguments');
  const needed = cdiDevices.find(device => !device.optional);
  if (needed !== undefined)
    throw notImplemented(`the device ${JSON.stringify(needed.name)} is required, and devices are not given to builds by this daemon`);
  if (mounts.filter(mount => mount.dest === '/').length !== 1) throw invalidArgument('invalid graph: a process needs one mount on /');
  const resources = metadata?.linux_resources;
  return {
    kind: 'exec',
    args: meta.args,
    env: meta.env,
    cwd: meta.cwd,
    user: meta.user,
    hostname: meta.hostname === '' ? 'buildkitsandbox' : meta.hostname,
    network: choice('network', networks, network),
    security: choice('security mode', securities, security),
    mounts: mounts.map(mount => toMount(mount, input)),
    secretEnv: secretenv.map(({ ID, name, optional }) => ({ id: ID, name, required: !optional })),
    extraHosts: meta.extraHosts.map(({ Host, IP }) => `${Host}:${IP}`),
    ulimits: meta.ulimit.map(({ Name, Soft, Hard }) => ({ name: Name, soft: Soft, hard: Hard })),
    cgroupParent: meta.cgroupParent,
    proxies: new Map(Object.entries(meta.proxy_env ?? {}).filter(([, value]) => value !== '')),
    exitCodes: meta.validExitCodes.length === 0 ? [0] : meta.validExitCodes,
    limits: {
      memoryBytes: resources?.memory ?? 0,
      memorySwapBytes: resources?.memorySwap ?? 0,
      cpuShares: resources?.cpuShares ?? 0,
      cpuPeriod: resources?.cpuPeriod ?? 0,
      cpuQuota: resources?.cpuQuota ?? 0,
      cpusetCpus: resources?.cpusetCpus ?? '',
      cpusetMems: resources?.cpusetMems ?? '',
    },
  };
}

const mountTypes = ['bind', 'secret', 'ssh', 'cache', 'tmpfs'] as const;

export function toMount(mount: WireMount, input: (index: number) => InputIndex): ExecMount {
  const type = choice('type of mounts', mountTypes, mount.mountType);
  const place = { target: mount.dest };
  const source = mount.selector === '' ? '/' : mount.selector;
  switch (type) {
    case 'bind':
      return {
        ...place,
        type,
        input: input(mount.input),
        source,
        readOnly: mount.readonly,
        output: mount.output === none ? undefined : mount.output,
      };
    case 'cache': {
      const { ID = '', sharing = 0 } = mount.cacheOpt ?? {};
      return {
        ...place,
        type,
        input: input(mount.input),
        source,
        readOnly: mount.readonly,
        id: ID === '' ? mount.dest : ID,
        sharing: choice('sharing', sharings, sharing),
      };
    }
    case 'tmpfs':
      return { ...place, type, sizeBytes: mount.TmpfsOpt?.size ?? 0 };
    case 'secret':
      return { ...place, type, ...toLent(mount.secretOpt) };
    case 'ssh':
      return { ...place, type, ...toLent(mount.SSHOpt) };
  }
}

function toLent(lent: WireLent | null): LentFile {
  if (lent === null) throw invalidArgument('invalid graph: a mount of something that the client lends does not say of what');
  const { ID, uid, gid, mode, optional } = lent;
  return { id: ID === '' ? 'default' : ID, uid, gid, mode, required: !optional };
}

function toAction(action: WireAction, place: number, inputs: number): FileAction {
  const input = (index: number): ActionInput => toActionInput(index, place, inputs);
  const common = { input: input(action.input), output: action.output === none ? undefined : action.output };
  const { copy, mkfile, mkdir, rm, symlink } = action;
  if (copy !== null) return { ...common, ...toCopy(copy), from: input(action.secondaryInput), owner: toOwner(copy.owner, input) };
  if (mkfile !== null) {
    const { path, mode, data, owner, timestamp } = mkfile;
    return { ...common, kind: 'file', path, mode, content: data, owner: toOwner(owner, input), timeNs: toTime(timestamp) };
  }
  if (mkdir !== null) {
    const { path, mode, makeParents, owner, timestamp } = mkdir;
    return { ...common, kind: 'directory', path, mode, withParents: makeParents, owner: toOwner(owner, input), timeNs: toTime(timestamp) };
  }
  if (symlink !== null) {
    const { oldpath, newpath, owner, timestamp } = symlink;
    return { ...common, kind: 'symlink', path: newpath, target: oldpath, owner: toOwner(owner, input), timeNs: toTime(timestamp) };
  }
  if (rm !== null) return { ...common, kind: 'remove', path: rm.path, allowsMissing: rm.allowNotFound, hasWildcard: rm.allowWildcard };
  throw invalidArgument('invalid graph: an entry does something to files that is not known here');
}

/** Inputs of the node come first, then the actions before. */
function toActionInput(index: number, place: number, inputs: number): ActionInput {
  if (index === none) return undefined;
  if (!Number.isSafeInteger(index) || index < 0 || index >= inputs + place)
    throw invalidArgument(`invalid graph: a change of files stands on the input ${String(index)}, which is not there`);
  return index < inputs ? { from: 'input', index } : { from: 'action', index: index - inputs };
}

const toCopy = (copy: WireCopy) => ({
  kind: 'copy' as const,
  source: copy.src,
  destination: copy.dest,
  mode: copy.modeStr !== '' ? copy.modeStr : copy.mode === none ? undefined : copy.mode.toString(8).padStart(4, '0'),
  contentsOnly: copy.dirCopyContents,
  unpack: copy.attemptUnpackDockerCompatibility,
  makesParents: copy.createDestPath,
  hasWildcard: copy.allowWildcard,
  allowsNothing: copy.allowEmptyWildcard,
  includes: copy.include_patterns,
  excludes: copy.exclude_patterns,
  timeNs: toTime(copy.timestamp),
});

const toTime = (nanoseconds: number): bigint | undefined => (nanoseconds === none ? undefined : BigInt(nanoseconds));

function toOwner(owner: WireOwner | null, input: (index: number) => ActionInput): FileOwner | undefined {
  if (owner === null || owner.user === null) return undefined;
  const { user, group } = owner;
  return {
    user: nameOfUser(user),
    group: group === null ? undefined : nameOfUser(group),
    accounts: input(user.byName?.input ?? group?.byName?.input ?? none),
  };
}

const nameOfUser = ({ byName, byID }: WireUser): string => byName?.name ?? String(byID);

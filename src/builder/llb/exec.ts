import { invalidArgument } from '#base/errors.ts';
import type { BuildStepMount } from '#core/build-steps.ts';
import type { Mount } from '../dockerfile/instructions.ts';
import { proxyEnvironment } from '../dockerfile/platform-args.ts';
import { StepFailed } from '../errors.ts';
import { checkEntitlements, identityOf, prepareMounts, type TreeOf } from '../operations/run.ts';
import type { Layer } from '../ports.ts';
import type { PreparedWork, WorkResult } from '../solver/perform.ts';
import type { ExecMount, ExecWork, GraphNode } from './graph.ts';
import type { NodeInputs } from './node-inputs.ts';
import type { Tree } from './tree.ts';

type BindMount = Extract<ExecMount, { type: 'bind' }>;

interface PreparedExec {
  /** What its root stands on. */
  readonly root: readonly Layer[];
  readonly prepared: PreparedWork;
  /** The trees of the node, of what the work has come to. */
  outputs(result: WorkResult): Tree[];
}

/** A process on trees of files: the one that is its root, and others beside that it may write to as well. */
export async function prepareExec(inputs: NodeInputs, node: GraphNode, work: ExecWork): Promise<PreparedExec> {
  const { session } = inputs;
  checkEntitlements(session, { network: work.network, security: work.security, devices: [] });
  const rootMount = work.mounts.find(mount => mount.target === '/');
  if (rootMount?.type !== 'bind') throw invalidArgument('invalid graph: the root of a process has to be a tree of files');
  const root = await inputs.layersOf(await inputs.input(node, rootMount.input));
  const written = work.mounts.filter(
    (mount): mount is BindMount => mount.type === 'bind' && mount !== rootMount && mount.output !== undefined,
  );
  const beside: (readonly Layer[])[] = [];
  for (const mount of written) beside.push(await inputs.layersOf(await inputs.input(node, mount.input)));
  const others = work.mounts.filter(mount => mount !== rootMount && !written.includes(mount as BindMount));
  const treeOf: TreeOf = async from => await inputs.sourceOf(await inputs.input(node, from === undefined ? undefined : Number(from)));
  const mounts = [...others.map(toMount), ...work.secretEnv.map(toSecret)];
  const identities = await Promise.all(mounts.map(mount => identityOf(session, mount, treeOf)));
  const { args, env, cwd, user, hostname, network, security, extraHosts, ulimits, exitCodes } = work;
  return {
    root,
    prepared: {
      identity: {
        exec: { args, env, cwd, user, hostname, network, security, extraHosts, ulimits, exitCodes },
        root: [rootMount.source, rootMount.readOnly],
        mounts: identities,
        written: written.map(({ target, source }, index) => [target, source, beside[index]?.at(-1)?.chainId ?? null]),
      },
      description: node.name,
      isLinked: false,
      isProcess: true,
      ...(written.length > 0 && { beside: beside.map(layers => layers.at(-1)?.chainId) }),
      dropsRoot: rootMount.output === undefined,
      async perform({ id, rootPath, besidePaths }, tell, signal) {
        await using lent = await prepareMounts(session, { mounts }, id, treeOf, signal);
        const { files } = session.context;
        const writable = written.map(({ source, target }, index): BuildStepMount => {
          const path = besidePaths[index] ?? '';
          return { type: 'bind', source: files.resolve(path, source), target, readOnly: false };
        });
        tell({ kind: 'process', id });
        const step = {
          id,
          rootPath: files.resolve(rootPath, rootMount.source),
          isRootReadOnly: rootMount.readOnly,
          args,
          env: [...env, ...proxyEnvironment(work.proxies), ...lent.env],
          cwd,
          user,
          hostname,
          network,
          insecure: security === 'insecure',
          mounts: outermostFirst([...lent.mounts, ...writable]),
          limits: { ...work.limits, cgroupParent: work.cgroupParent, shmSizeBytes: 0, ulimits, extraHosts },
        };
        const exit = await session.context.steps.run(
          step,
          (stream, chunk) => tell({ kind: 'output', stream, chunk: chunk.slice() }),
          signal,
        );
        if (!exitCodes.includes(exit.exitCode)) throw new StepFailed(args, exit.exitCode);
      },
    },
    outputs({ layer, beside: results }) {
      const trees: Tree[] = [];
      const put = (mount: BindMount, below: readonly Layer[], made: Layer | undefined): void => {
        if (mount.output !== undefined) trees[mount.output] = { kind: 'layers', layers: made === undefined ? below : [...below, made] };
      };
      put(rootMount, root, layer);
      for (const [index, mount] of written.entries()) put(mount, beside[index] ?? [], results[index]);
      return trees;
    },
  };
}

/** What is mounted below another mount comes after it. */
const outermostFirst = (mounts: readonly BuildStepMount[]): BuildStepMount[] =>
  mounts.toSorted((a, b) => a.target.split('/').filter(Boolean).length - b.target.split('/').filter(Boolean).length);

/** A mount in the words of Dockerfiles; `from` is the number of the input. */
function toMount(mount: ExecMount): Mount {
  const { target } = mount;
  const from = 'input' in mount ? { ...(mount.input !== undefined && { from: String(mount.input) }) } : {};
  switch (mount.type) {
    case 'bind':
      return { type: 'bind', ...from, source: mount.source, target, readOnly: mount.readOnly };
    case 'cache':
      return {
        type: 'cache',
        ...from,
        id: mount.id,
        source: mount.source,
        target,
        readOnly: mount.readOnly,
        sharing: mount.sharing,
        mode: 0o755,
        uid: 0,
        gid: 0,
      };
    case 'tmpfs':
      return { type: 'tmpfs', target, readOnly: false, sizeBytes: mount.sizeBytes };
    case 'secret':
    case 'ssh': {
      const { type, id, uid, gid, mode, required } = mount;
      return { type, id, target, uid, gid, mode, required };
    }
  }
}

const toSecret = ({ id, name, required }: ExecWork['secretEnv'][number]): Mount => ({
  type: 'secret',
  id,
  env: name,
  required,
  mode: 0o400,
  uid: 0,
  gid: 0,
});

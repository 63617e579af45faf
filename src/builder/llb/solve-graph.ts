import { invalidArgument } from '#base/errors.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import { normalizePlatform, type Platform } from '#oci/platform.ts';
import type { Layer } from '../ports.ts';
import { type SourceTree } from '../operations/copy.ts';
import { type BuilderContext, BuildSession, type SessionRequest } from '../solver/session.ts';
import { performOrReuse, type PreparedWork, type WorkResult } from '../solver/perform.ts';
import { type SolvedBuild, solvedBuild } from '../solver/solve.ts';
import { diffLayers } from './diff.ts';
import { prepareExec } from './exec.ts';
import { makeFiles } from './file.ts';
import type { Edge, GraphNode, InputIndex } from './graph.ts';
import type { GraphObserver, GraphRequest } from './request.ts';
import { fetchSource } from './source.ts';
import type { NodeInputs } from './node-inputs.ts';
import { emptyTree, type Tree } from './tree.ts';

/** Builds a graph: of its nodes those that its root needs, side by side where they do not need each other. `onEnd` is called once, when nothing is left of it. */
export async function solveGraph(
  context: BuilderContext,
  request: GraphRequest,
  observer: GraphObserver,
  signal: AbortSignal,
  onEnd: () => void,
): Promise<SolvedBuild> {
  await using held = new AsyncDisposableStack();
  held.defer(onEnd);
  const session = held.use(new BuildSession(context, sessionRequest(request), undefined, signal));
  await session.openRemoteCaches();
  const solving = new GraphSolver(session, request, observer);
  const { layers, config } = await solving.run();
  return solvedBuild(session, { config: imageConfig(config, context.platform, layers), layers }, held.move());
}

const noLimits: SessionRequest['limits'] = {
  memoryBytes: 0,
  memorySwapBytes: 0,
  cpuShares: 0,
  cpuPeriod: 0,
  cpuQuota: 0,
  cpusetCpus: '',
  cpusetMems: '',
  cgroupParent: '',
  shmSizeBytes: 0,
  ulimits: [],
  extraHosts: [],
};

const sessionRequest = ({ graph, entitlements, secrets, openCaches }: GraphRequest): SessionRequest => ({
  platform: graph.root && graph.nodes.get(graph.root.digest)?.platform,
  buildArgs: new Map(),
  network: 'default',
  limits: noLimits,
  hostname: '',
  entitlements,
  secrets,
  ...(openCaches !== undefined && { openCaches }),
});

/** A graph says nothing of an image: what runs in it is said with the result, if at all. */
function imageConfig(base: ImageConfigFile | undefined, platform: Platform, layers: readonly Layer[]): ImageConfigFile {
  const { os, architecture, variant } = base === undefined ? platform : normalizePlatform(base);
  return {
    architecture,
    ...(variant !== undefined && { variant }),
    os,
    config: {},
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
  };
}

class GraphSolver implements NodeInputs {
  readonly session: BuildSession;
  readonly request: GraphRequest;
  readonly observer: GraphObserver;
  readonly #trees = new Map<string, Promise<readonly Tree[]>>();
  readonly #layers = new Map<Tree, Promise<readonly Layer[]>>();
  /** Nodes of which nothing had to be done. */
  readonly #cached = new Map<string, boolean>();

  constructor(session: BuildSession, request: GraphRequest, observer: GraphObserver) {
    this.session = session;
    this.request = request;
    this.observer = observer;
  }

  async run(): Promise<{ readonly layers: readonly Layer[]; readonly config: ImageConfigFile | undefined }> {
    const { graph } = this.request;
    try {
      const tree = graph.root === undefined ? emptyTree : await this.#edge(graph.root);
      return { layers: await this.layersOf(tree), config: tree.kind === 'layers' ? tree.config : undefined };
    } catch (err) {
      // The others are stopped, and nothing is taken away before all have stopped.
      this.session.fail(err);
      await Promise.allSettled([...this.#trees.values(), ...this.#layers.values()]);
      throw err;
    }
  }

  async #edge({ digest, index }: Edge): Promise<Tree> {
    const node = this.request.graph.nodes.get(digest);
    if (node === undefined) throw invalidArgument(`invalid graph: there is no node ${digest}`);
    const known = this.#trees.get(digest);
    const trees = known ?? this.#make(node);
    if (known === undefined) {
      trees.catch(() => undefined);
      this.#trees.set(digest, trees);
    }
    const tree = (await trees)[index];
    if (tree === undefined) throw invalidArgument(`invalid graph: ${node.name} has no result with the number ${String(index)}`);
    return tree;
  }

  async #make(node: GraphNode): Promise<readonly Tree[]> {
    // What a node needs is made first, and side by side; a failure of one fails all.
    await Promise.all(node.inputs.map(edge => this.#edge(edge)));
    this.session.signal.throwIfAborted();
    this.observer.started(node.digest);
    this.#cached.set(node.digest, true);
    try {
      const trees = await this.#work(node);
      this.observer.finished(node.digest, this.#cached.get(node.digest) ?? false);
      return trees;
    } catch (err) {
      this.observer.failed(node.digest, err);
      throw err;
    }
  }

  async #work(node: GraphNode): Promise<readonly Tree[]> {
    const { work } = node;
    switch (work.kind) {
      case 'source': {
        this.#cached.set(node.digest, false);
        return [await fetchSource(this, node, work)];
      }
      case 'exec': {
        const { root, prepared, outputs } = await prepareExec(this, node, work);
        return outputs(await this.perform(node, root, prepared));
      }
      case 'file':
        return await makeFiles(this, node, work);
      case 'merge': {
        const inputs = await Promise.all(work.inputs.map(async index => await this.layersOf(await this.input(node, index))));
        return [{ kind: 'layers', layers: await this.#stack(inputs.flat()) }];
      }
      case 'diff': {
        const [lower, upper] = await Promise.all(
          [work.lower, work.upper].map(async index => await this.layersOf(await this.input(node, index))),
        );
        const changed = await diffLayers(this, node, lower ?? [], upper ?? []);
        return [{ kind: 'layers', layers: await this.#stack(changed) }];
      }
    }
  }

  /** Layers in other places, one on the other. */
  async #stack(layers: readonly Layer[]): Promise<readonly Layer[]> {
    const { workspace, signal } = this.session;
    const stacked: Layer[] = [];
    for (const layer of layers) stacked.push(await workspace.restack(layer, stacked.at(-1)?.chainId, signal));
    return stacked;
  }

  async input(node: GraphNode, index: InputIndex): Promise<Tree> {
    if (index === undefined) return emptyTree;
    const edge = node.inputs[index];
    if (edge === undefined) throw invalidArgument(`invalid graph: ${node.name} has no input with the number ${String(index)}`);
    return await this.#edge(edge);
  }

  layersOf(tree: Tree): Promise<readonly Layer[]> {
    if (tree.kind === 'layers') return Promise.resolve(tree.layers);
    const known = this.#layers.get(tree);
    if (known !== undefined) return known;
    const made = this.#layerOf(tree.source, tree.title);
    made.catch(() => undefined);
    this.#layers.set(tree, made);
    return made;
  }

  async #layerOf(source: SourceTree, title: string): Promise<readonly Layer[]> {
    const { files } = this.session.context;
    const all = { root: source.root, keepOwners: true, pattern: '/', parents: false, excludes: [], unpack: false };
    const work: PreparedWork = {
      identity: { tree: await files.digest([all], this.session.signal) },
      description: title,
      isLinked: false,
      isProcess: false,
      perform: async ({ rootPath }, _tell, signal) =>
        await files.copy([all], { root: rootPath, path: '/', owner: undefined, mode: undefined }, signal),
    };
    const { layer } = await performOrReuse(this.session, undefined, work, { ignoresCache: false, onEvent: () => undefined });
    return layer === undefined ? [] : [layer];
  }

  async sourceOf(tree: Tree): Promise<SourceTree> {
    if (tree.kind === 'directory') return tree.source;
    const chain = tree.layers.at(-1)?.chainId;
    return { root: await this.session.view(chain), chain, keepOwners: true };
  }

  async perform(node: GraphNode, parent: readonly Layer[], work: PreparedWork): Promise<WorkResult> {
    const result = await performOrReuse(this.session, parent.at(-1)?.chainId, work, {
      ignoresCache: node.ignoresCache,
      onEvent: event => {
        if (event.kind === 'output') this.observer.output(node.digest, event.stream, event.chunk);
      },
    });
    if (!result.isCached) this.#cached.set(node.digest, false);
    return result;
  }
}

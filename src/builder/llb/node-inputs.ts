import type { SourceTree } from '../operations/copy.ts';
import type { Layer } from '../ports.ts';
import type { PreparedWork, WorkResult } from '../solver/perform.ts';
import type { BuildSession } from '../solver/session.ts';
import type { GraphNode, InputIndex } from './graph.ts';
import type { GraphObserver, GraphRequest } from './request.ts';
import type { Tree } from './tree.ts';

/** How nodes get at what other nodes have made. */
export interface NodeInputs {
  readonly session: BuildSession;
  readonly request: GraphRequest;
  readonly observer: GraphObserver;
  /** Rejects with InvalidArgument for an input that is not there. */
  input(node: GraphNode, index: InputIndex): Promise<Tree>;
  /** A tree as layers. */
  layersOf(tree: Tree): Promise<readonly Layer[]>;
  /** A tree as a directory of the host, for reading. */
  sourceOf(tree: Tree): Promise<SourceTree>;
  /** Does work on top of layers, or finds what it has come to before. */
  perform(node: GraphNode, parent: readonly Layer[], work: PreparedWork): Promise<WorkResult>;
}

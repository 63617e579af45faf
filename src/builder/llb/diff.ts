import type { Layer } from '../ports.ts';
import type { PreparedWork } from '../solver/perform.ts';
import type { GraphNode } from './graph.ts';
import type { NodeInputs } from './node-inputs.ts';

/** The layers that make one chain of another: its own where it stands on the other, else one that is made by comparing them. */
export async function diffLayers(
  inputs: NodeInputs,
  node: GraphNode,
  lower: readonly Layer[],
  upper: readonly Layer[],
): Promise<readonly Layer[]> {
  const stands = lower.every((layer, index) => layer.chainId === upper[index]?.chainId);
  if (stands) return upper.slice(lower.length);
  const { root } = await inputs.sourceOf({ kind: 'layers', layers: upper });
  const work: PreparedWork = {
    identity: { becomes: upper.at(-1)?.chainId ?? null },
    description: node.name,
    isLinked: false,
    isProcess: false,
    perform: async ({ rootPath }, _tell, signal) => await inputs.session.context.files.mirror(root, rootPath, signal),
  };
  const { layer } = await inputs.perform(node, lower, work);
  return layer === undefined ? [] : [layer];
}

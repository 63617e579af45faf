import type { Definition } from '#api/buildkit/messages.ts';
import type { Graph } from '#builder/llb/graph.ts';
import { sha256 } from '#oci/digest.ts';
import { codec } from './codec.ts';
import type { WireOp } from './llb-messages.ts';

const ops = codec<Partial<WireOp>>('pb.Op');
const scheme = 'berth-result://';

/**
 * A result as a graph of one node that names it. Clients hand graphs from one build to another, as they are or with work of their own on top: that is how a
 * build stands on what another one has made.
 */
export function graphOf(resultId: string): Definition {
  const source = ops.encode({ source: { identifier: `${scheme}${resultId}`, attrs: {} } });
  const end = ops.encode({ inputs: [{ digest: sha256(source), index: 0 }] });
  // Without metadata it would count as no graph at all.
  return { def: [source, end], metadata: { [sha256(source)]: {}, [sha256(end)]: {} } };
}

/** The result that a source names; undefined for any other source. */
export const resultNamed = (identifier: string): string | undefined =>
  identifier.startsWith(scheme) ? identifier.slice(scheme.length) : undefined;

/** The result that is all there is in a graph; undefined for any other graph. */
export function resultOf({ root, nodes }: Graph): string | undefined {
  const work = root && nodes.get(root.digest)?.work;
  return work?.kind === 'source' ? resultNamed(work.identifier) : undefined;
}

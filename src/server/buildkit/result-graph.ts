import { sha256 } from '#oci/digest.ts';
import type { Definition } from '#api/buildkit/messages.ts';
import { codec } from './codec.ts';

interface Op {
  readonly inputs: readonly { readonly digest: string; readonly index: number }[];
  readonly source: { readonly identifier: string; readonly attrs: Readonly<Record<string, string>> } | null;
}

const ops = codec<Op>('pb.Op');
const scheme = 'berth-result://';

/**
 * A result as a graph of one node that names it. Clients hand graphs from one build to another without looking into them: that is how a build stands on what
 * another one has made.
 */
export function graphOf(resultId: string): Definition {
  const source = ops.encode({ source: { identifier: `${scheme}${resultId}`, attrs: {} } });
  const end = ops.encode({ inputs: [{ digest: sha256(source), index: 0 }] });
  // Without metadata it would count as no graph at all.
  return { def: [source, end], metadata: { [sha256(source)]: {}, [sha256(end)]: {} } };
}

/** The result that such a graph names; undefined for any other graph. */
export function resultOf({ def }: Definition): string | undefined {
  for (const bytes of def) {
    const identifier = ops.decode(bytes).source?.identifier;
    if (identifier?.startsWith(scheme) === true) return identifier.slice(scheme.length);
  }
  return undefined;
}

import type { ImageConfigFile } from '#oci/image-config.ts';
import type { SourceTree } from '../operations/copy.ts';
import type { Layer } from '../ports.ts';

/** A tree of files that a node of a graph has made. */
export type Tree =
  | {
      readonly kind: 'layers';
      readonly layers: readonly Layer[];
      /** Of the image that the layers came as. */
      readonly config?: ImageConfigFile | undefined;
    }
  /** Files that are not a layer yet: it is made when somebody needs one. */
  | { readonly kind: 'directory'; readonly source: SourceTree; readonly title: string };

export const emptyTree: Tree = { kind: 'layers', layers: [] };

import type { ErrorKind } from '#base/errors.ts';
import type { FileChange, FileSource, FileTarget, LayerFiles, PackedLayer } from '#core/build-files.ts';

/** What a process for file work is asked, one line of JSON each, one after the other. */
export type FileJob =
  | { readonly kind: 'digest'; readonly sources: readonly FileSource[] }
  | { readonly kind: 'copy'; readonly sources: readonly FileSource[]; readonly target: FileTarget; readonly archives: readonly string[] }
  /** Which files the sources name directly. */
  | { readonly kind: 'files'; readonly sources: readonly FileSource[] }
  /** Makes the directory of a target; answers where it is on the host. */
  | { readonly kind: 'directory'; readonly target: FileTarget }
  | { readonly kind: 'change'; readonly root: string; readonly change: FileChange }
  | { readonly kind: 'mirror'; readonly model: string; readonly root: string }
  | { readonly kind: 'pack'; readonly layer: LayerFiles };

export interface FileJobResults {
  readonly digest: string;
  readonly copy: null;
  readonly files: readonly string[];
  readonly directory: string;
  readonly change: null;
  readonly mirror: null;
  readonly pack: PackedLayer;
}

/** The answer to one job. */
export type FileJobAnswer =
  | { readonly ok: true; readonly result: FileJobResults[keyof FileJobResults] }
  | { readonly ok: false; readonly kind: ErrorKind; readonly message: string };

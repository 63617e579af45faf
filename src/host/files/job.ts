import type { ErrorKind } from '#base/errors.ts';
import type { ExtractOptions, FilesView, PathStat, WritableLayer } from '#core/files.ts';

/**
 * What the daemon and the process that works on files say to each other: a line of JSON each, then bytes of a tar.
 *
 *   daemon  ── view ──▶              ── job ──▶ (tar of `extract`)
 *   process            ◀── entered ──           ◀── answer ── (tar of `archive`, `root`, `layer`)
 */
export type Entering = FilesView | { readonly kind: 'layer' };

export type Job =
  | { readonly do: 'stat' | 'archive'; readonly path: string }
  | { readonly do: 'extract'; readonly path: string; readonly options: ExtractOptions }
  | { readonly do: 'root' }
  | ({ readonly do: 'changes' | 'layer' } & WritableLayer);

export type Answer<T> = { readonly ok: true; readonly value: T } | Refusal;

export interface Refusal {
  readonly ok: false;
  readonly kind: ErrorKind;
  readonly message: string;
}

export type { PathStat };

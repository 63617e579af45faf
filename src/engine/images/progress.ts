import type { ImageProgress, Report } from './model.ts';

const intervalMs = 100;

/**
 * Thins out progress: a status that changes its words or reaches its total is told at once, the same status with another number at most ten times a
 * second per id.
 */
export function progressMeter(report: Report): Report {
  const told = new Map<string, { readonly status: string | undefined; readonly at: number }>();
  return (progress: ImageProgress) => {
    const id = progress.id ?? '';
    const last = told.get(id);
    const now = performance.now();
    const isLast = progress.current !== undefined && progress.current === progress.total;
    if (progress.current !== undefined && !isLast && last?.status === progress.status && now - (last?.at ?? 0) < intervalMs) return;
    told.set(id, { status: progress.status, at: now });
    report(progress);
  };
}

import type { Logger } from '#base/log.ts';
import { releaseProgramPages } from '#host/sys/memory.ts';

const afterStartMs = 250;
const checkMs = 3_000;
/** The collector and the last of the work go on for a moment, and touch program pages that are then not needed any more: looked at twice. */
const collectMs = 500;
const settledMs = 4_000;
/** Less work than this between two looks is no work. */
const idleCpuMicros = 10_000;

/**
 * Gives memory back when there is nothing to do: soon after the start, most of whose code is never needed again, and whenever work has ended.
 * Garbage would otherwise wait for the work that makes more of it.
 */
export function releaseMemoryWhenIdle(log: Logger): Disposable {
  let last = 0;
  let released = 0;
  const used = (): number => {
    const { user, system } = process.cpuUsage();
    return user + system;
  };
  const releasePages = (): void => {
    try {
      releaseProgramPages();
    } catch (err) {
      log.debug('memory could not be given back', { error: err });
    }
    last = released = used();
  };
  let next: NodeJS.Timeout;
  const release = (): void => {
    Bun.gc(true);
    last = released = used();
    next = setTimeout(() => {
      releasePages();
      next = setTimeout(releasePages, settledMs);
      next.unref();
    }, collectMs);
    next.unref();
  };
  next = setTimeout(release, afterStartMs);
  const timer = setInterval(() => {
    const now = used();
    const isIdle = now - last < idleCpuMicros;
    last = now;
    if (isIdle && now - released > idleCpuMicros) release();
  }, checkMs);
  next.unref();
  timer.unref();
  return {
    [Symbol.dispose]: () => {
      clearTimeout(next);
      clearInterval(timer);
    },
  };
}

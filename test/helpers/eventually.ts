export interface EventuallyOptions {
  readonly timeoutMs?: number;
  readonly everyMs?: number;
}

/**
 * Repeats `check` until it returns something other than false or undefined, and returns that. A check that throws is not there yet; its last
 * error tells why when the time is up.
 */
export async function eventually<T>(
  what: string,
  check: () => T | false | undefined | Promise<T | false | undefined>,
  options: EventuallyOptions = {},
): Promise<T> {
  const { timeoutMs = 10_000, everyMs = 20 } = options;
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const seen = await check();
      if (seen !== false && seen !== undefined) return seen;
      last = undefined;
    } catch (err) {
      last = err;
    }
    if (performance.now() > deadline) throw new Error(`not within ${String(timeoutMs)} ms: ${what}`, { cause: last });
    await Bun.sleep(everyMs);
  }
}

/** Nanoseconds since 1970. Never goes back and never repeats, also when the machine's clock does. */
export function createNanoClock(now: () => bigint = () => Temporal.Now.instant().epochNanoseconds): () => bigint {
  let last = 0n;
  return () => {
    const read = now();
    last = read > last ? read : last + 1n;
    return last;
  };
}

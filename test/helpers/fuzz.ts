import fc from 'fast-check';
import { kindOf, messageOf, type ErrorKind } from '#base/errors.ts';

/** How long each property is tried: BERTH_FUZZ_SECONDS, one second when it is not set. */
const limitMs = Number(process.env.BERTH_FUZZ_SECONDS ?? 1) * 1000;
/** The same cases again: BERTH_FUZZ_SEED. */
const seed = Number(process.env.BERTH_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** No parser may take this long for anything that is tried here, however busy the machine is. */
const hangsAfterMs = 3000;

console.log(`fuzzing with BERTH_FUZZ_SEED=${String(seed)}`);

/** Tries a property with as many cases as the time allows. A failure is shrunk, and told with its seed. */
export function holds<T extends [unknown, ...unknown[]]>(
  ...property: [...arbitraries: { [K in keyof T]: fc.Arbitrary<T[K]> }, check: (...values: T) => void]
): void {
  const check = property.at(-1) as (...values: T) => void;
  const timed = (...values: T): void => {
    const began = performance.now();
    check(...values);
    const tookMs = performance.now() - began;
    if (tookMs > hangsAfterMs) throw new Error(`it took ${String(Math.round(tookMs))} ms`);
  };
  const arbitraries = property.slice(0, -1) as [fc.Arbitrary<unknown>, ...fc.Arbitrary<unknown>[]];
  fc.assert(fc.property(...arbitraries, timed as (...values: unknown[]) => void), parameters);
}

/** The same for a check that waits. */
export async function holdsLater<T>(arbitrary: fc.Arbitrary<T>, check: (value: T) => Promise<void>): Promise<void> {
  await fc.assert(fc.asyncProperty(arbitrary, check), parameters);
}

const parameters = { seed, numRuns: 1_000_000, interruptAfterTimeLimit: limitMs, markInterruptAsFailure: false } as const;

/** What an action gives, or the kind of the domain's error it throws. Any other error is passed on: it is a bug. */
export function outcomeOf<T>(
  action: () => T,
  allowed: readonly ErrorKind[],
): { readonly value: T } | { readonly kind: ErrorKind; readonly message: string } {
  try {
    return { value: action() };
  } catch (err) {
    const kind = kindOf(err);
    if (!allowed.includes(kind)) throw err;
    return { kind, message: messageOf(err) };
  }
}

/** Bytes that were made of others by damaging them: some changed, some cut out, some put in twice, the end missing. */
export const damaged = (sound: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> =>
  fc
    .tuple(
      sound,
      fc.array(
        fc.record({
          kind: fc.constantFrom('flip', 'set', 'cut', 'repeat', 'insert'),
          at: fc.double({ min: 0, max: 1, noNaN: true }),
          length: fc.integer({ min: 1, max: 1500 }),
          value: fc.integer({ min: 0, max: 255 }),
        }),
        { minLength: 1, maxLength: 6 },
      ),
    )
    .map(([bytes, damages]) => damages.reduce(damage, bytes));

function damage(
  bytes: Uint8Array,
  { kind, at, length, value }: { readonly kind: string; readonly at: number; readonly length: number; readonly value: number },
): Uint8Array {
  const offset = Math.min(Math.floor(at * bytes.length), Math.max(bytes.length - 1, 0));
  const [before, after] = [bytes.subarray(0, offset), bytes.subarray(offset)];
  switch (kind) {
    case 'flip':
    case 'set': {
      const changed = new Uint8Array(bytes);
      if (offset < changed.length) changed[offset] = kind === 'set' ? value : (changed[offset] ?? 0) ^ (1 << (value % 8));
      return changed;
    }
    case 'cut':
      return Buffer.concat([before, after.subarray(length)]);
    case 'repeat':
      return Buffer.concat([before, after.subarray(0, length), after]);
    default:
      return Buffer.concat([before, new Uint8Array(length).fill(value), after]);
  }
}

/** So many stay when they are not in use. */
const most = 2;
const spare = new Map<number, Buffer[]>();

/** A buffer of this size to read into, lent until it is disposed. Hundreds of logs that are quiet most of the time share a few. */
export function spareBuffer(size: number): Disposable & { readonly bytes: Buffer } {
  const idle = spare.get(size) ?? [];
  spare.set(size, idle);
  const bytes = idle.pop() ?? Buffer.allocUnsafeSlow(size);
  return {
    bytes,
    [Symbol.dispose]: () => {
      if (idle.length < most) idle.push(bytes);
    },
  };
}

/** Whether something ends in time; false when the time is over first. Nothing to wait for has ended. Rejects when it does. */
export async function endsWithin(end: Promise<void> | undefined, milliseconds: number): Promise<boolean> {
  if (end === undefined) return true;
  const late = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => late.resolve(false), milliseconds);
  try {
    return await Promise.race([end.then(() => true), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

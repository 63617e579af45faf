const longestTurnMs = 2;
let lastPause = 0;

/**
 * For loops whose next step is ready at once, such as the chunks of a fast download: without it they are one long turn of the event loop, in which
 * nobody else is answered. Call it after each step; once in a while it lets the others go first. All loops share one allowance.
 */
export async function letOthersGoFirst(): Promise<void> {
  if (performance.now() - lastPause < longestTurnMs) return;
  await new Promise<void>(resolve => setImmediate(resolve));
  lastPause = performance.now();
}

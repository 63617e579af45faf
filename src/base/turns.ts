const longestTurnMs = 2;
let lastPause = 0;
/** Who is to go on, in the order of their asking: one in each turn of the event loop. */
const waiting: (() => void)[] = [];

/**
 * For loops whose next step is ready at once, such as the chunks of a fast download, and for work that many begin at the same moment: without it they are
 * one long turn of the event loop, in which nobody else is answered. Call it before or after each step; once in a while it lets the others go first.
 * All share one allowance.
 */
export async function letOthersGoFirst(): Promise<void> {
  if (waiting.length === 0 && performance.now() - lastPause < longestTurnMs) return;
  await new Promise<void>(resolve => {
    waiting.push(resolve);
    if (waiting.length === 1) setImmediate(nextTurn);
  });
}

function nextTurn(): void {
  lastPause = performance.now();
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(nextTurn);
}

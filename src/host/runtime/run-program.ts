/** Runs a program to its end. Its standard error is part of the result; being aborted kills it. */
export async function runProgram(
  argv: readonly string[],
  signal: AbortSignal,
): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  signal.throwIfAborted();
  const child = Bun.spawn([...argv], { stdio: ['ignore', 'pipe', 'pipe'], signal });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  signal.throwIfAborted();
  return { exitCode, stdout, stderr };
}

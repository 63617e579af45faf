export interface RunResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly stdin?: string | Uint8Array | Blob;
  readonly timeoutMs?: number;
  readonly cwd?: string;
}

/** Runs a program to its end. Never rejects for its exit code: what it was is for the test to judge. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { timeoutMs = 60_000 } = options;
  const stdin = typeof options.stdin === 'string' ? new TextEncoder().encode(options.stdin) : options.stdin;
  const child = Bun.spawn([...command], {
    stdin: stdin ?? 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (child.signalCode === 'SIGKILL')
    throw new Error(`still running after ${String(timeoutMs)} ms: ${command.join(' ')}\n${stdout}\n${stderr}`);
  return { exitCode, stdout, stderr };
}

/** Runs a program that must succeed; rejects with what it said otherwise. */
export async function runOk(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const { exitCode, stdout, stderr } = await run(command, options);
  if (exitCode !== 0) throw new Error(`exit code ${String(exitCode)}: ${command.join(' ')}\n${stdout}${stderr}`);
  return stdout;
}

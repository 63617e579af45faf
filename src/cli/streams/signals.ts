/** Signals that a process may be asked to pass on. SIGKILL and SIGSTOP cannot be caught; the rest is the business of this process alone. */
const forwarded: readonly NodeJS.Signals[] = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
  'SIGCONT',
  'SIGALRM',
  'SIGTSTP',
  'SIGTTIN',
  'SIGTTOU',
];

/** Calls `kill` with the name of each signal that this process gets, until disposed. */
export function forwardSignals(kill: (signal: string) => Promise<void>): Disposable {
  const handlers = forwarded.map(signal => {
    // The container may have ended meanwhile: nobody is left to tell.
    const handler = (): void => void kill(signal.slice('SIG'.length)).catch(() => undefined);
    process.on(signal, handler);
    return [signal, handler] as const;
  });
  return {
    [Symbol.dispose]() {
      for (const [signal, handler] of handlers) process.off(signal, handler);
    },
  };
}

export interface TerminalSize {
  readonly height: number;
  readonly width: number;
}

const firstTries = 10;

/** Tells the daemon the terminal's size now and whenever it changes, until disposed. */
export function followTerminalSize(read: () => TerminalSize | undefined, resize: (size: TerminalSize) => Promise<void>): Disposable {
  let ended = false;
  const send = async (): Promise<void> => {
    const size = read();
    if (size !== undefined && (size.height > 0 || size.width > 0)) await resize(size);
  };
  const begin = async (): Promise<void> => {
    // A process that is only just starting has no terminal yet.
    for (let i = 1; i <= firstTries && !ended; i++) {
      try {
        return await send();
      } catch {
        await Bun.sleep(i * 10);
      }
    }
  };
  const onChange = (): void => void send().catch(() => undefined);
  void begin();
  process.on('SIGWINCH', onChange);
  return {
    [Symbol.dispose]() {
      ended = true;
      process.off('SIGWINCH', onChange);
    },
  };
}

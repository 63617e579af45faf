import type { Cli } from '../cli.ts';

/** One line of stdin, without its end. With `secret` and a terminal, what is typed does not show. */
export async function readLine(cli: Cli, { secret = false } = {}): Promise<string> {
  const hidden = secret && process.getBuiltinModule('node:tty').isatty(0);
  if (!hidden) return await readPlainLine();
  process.stdin.setRawMode(true);
  try {
    return await readHiddenLine();
  } finally {
    process.stdin.setRawMode(false);
    process.stdin.pause();
    cli.err.line();
  }
}

async function readPlainLine(): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of Bun.stdin.stream()) {
    text += decoder.decode(chunk, { stream: true });
    const end = text.indexOf('\n');
    if (end >= 0) return text.slice(0, end).replace(/\r$/, '');
  }
  return text;
}

async function readHiddenLine(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin) {
    for (const char of String(chunk)) {
      if (char === '\r' || char === '\n' || char === '\x04') return text;
      if (char === '\x03') throw new Error('interrupted');
      text = char === '\x7f' || char === '\b' ? text.slice(0, -1) : text + char;
    }
  }
  return text;
}

import type { Output } from './terminal.ts';

/** Says something beside the matter, with its later lines below the first. */
export function printNote(out: Output, text: string): void {
  const head = out.isTerminal ? ' Info → ' : ' Info -> ';
  out.write(`\n${head}${text.replaceAll('\n', `\n${' '.repeat(head.length)}`)}\n`);
}

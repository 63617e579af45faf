import { expand } from './expand.ts';
import type { Heredoc } from './instructions.ts';

const heredocWord = /^(\d*)<<(-?)\s*([^<]*)$/;
const unset = (): undefined => undefined;

/** What a word such as `<<EOF`, `3<<-"EOF"` announces; undefined for a word that announces nothing. */
export function parseHeredocWord(word: string): Omit<Heredoc, 'content'> | undefined {
  const [, descriptor = '', dash = '', rest = ''] = heredocWord.exec(word) ?? [];
  if (rest === '') return undefined;
  const { words } = expand(rest, unset, { keepUnset: true });
  const [name] = words;
  if (name === undefined || words.length !== 1) return undefined;
  const [written = ''] = expand(rest, unset, { keepUnset: true, keepQuotes: true }).words;
  return {
    name,
    // Quotes that are gone without `keepQuotes` were there: any quoted part makes the body literal.
    expand: countQuotes(name) === countQuotes(written),
    stripTabs: dash === '-',
    fileDescriptor: Number(descriptor === '' ? 0 : descriptor),
  };
}

const countQuotes = (text: string): number => text.match(/['"]/g)?.length ?? 0;

/** The heredocs that a line announces, in order. */
export function heredocsOf(line: string): Omit<Heredoc, 'content'>[] {
  let words: readonly string[];
  try {
    ({ words } = expand(line, unset, { keepQuotes: true, keepEscapes: true, keepUnset: true }));
  } catch {
    // A line whose quotes do not match is for the shell to complain about.
    return [];
  }
  return words.map(parseHeredocWord).filter(found => found !== undefined);
}

/** The body as it is meant: without the tabs that `<<-` takes away. */
export const heredocBody = ({ content, stripTabs }: Pick<Heredoc, 'content' | 'stripTabs'>): string =>
  stripTabs ? content.replace(/^\t+/gm, '') : content;

/** White space as Unicode defines it, which is not quite what `\s` is. */
const spaces = '\\t\\n\\v\\f\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const space = new RegExp(`[${spaces}]`);
const leadingSpace = new RegExp(`^[${spaces}]+`);
const trailingSpace = new RegExp(`[${spaces}]+$`);

export const isSpace = (char: string): boolean => space.test(char);
export const trimStart = (text: string): string => text.replace(leadingSpace, '');
export const trimEnd = (text: string): string => text.replace(trailingSpace, '');
export const trim = (text: string): string => trimEnd(trimStart(text));

/** A quoted string as Go prints it with `%q`. */
export function quote(text: string): string {
  let quoted = '"';
  for (const char of text) quoted += named[char] ?? (isPrintable(char) ? char : escapeChar(char));
  return `${quoted}"`;
}

const named: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};

const isPrintable = (char: string): boolean => char === ' ' || /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(char);

function escapeChar(char: string): string {
  const code = char.codePointAt(0) ?? 0;
  if (code < 0x80) return `\\x${code.toString(16).padStart(2, '0')}`;
  return code <= 0xffff ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`;
}

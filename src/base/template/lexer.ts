export type TokenKind =
  | 'text'
  | 'open'
  | 'close'
  | 'space'
  | 'field'
  | 'variable'
  | 'identifier'
  | 'string'
  | 'char'
  | 'number'
  | 'dot'
  | 'pipe'
  | 'declare'
  | 'assign'
  | 'comma'
  | 'lparen'
  | 'rparen'
  | 'end';

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  readonly at: number;
}

export type Fail = (at: number, message: string) => never;

const patterns: readonly (readonly [TokenKind, RegExp])[] = [
  ['space', /[ \t\r\n]+/y],
  ['declare', /:=/y],
  ['assign', /=/y],
  ['pipe', /\|/y],
  ['comma', /,/y],
  ['lparen', /\(/y],
  ['rparen', /\)/y],
  ['number', /[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|(?:\d[\d_]*)?\.\d[\d_]*(?:[eE][+-]?\d+)?|\d[\d_]*\.?(?:[eE][+-]?\d+)?)/y],
  ['field', /\.[\p{L}_][\p{L}\p{N}_]*/uy],
  ['variable', /\$[\p{L}\p{N}_]*/uy],
  ['identifier', /[\p{L}_][\p{L}\p{N}_]*/uy],
  ['dot', /\./y],
  ['string', /"(?:[^"\\\n]|\\.)*"|`[^`]*`/y],
  ['char', /'(?:[^'\\\n]|\\.)+'/y],
];

/** Cuts a template into tokens. `{{-` and `-}}` take the white space beside them away; comments leave nothing. */
export function lex(source: string, fail: Fail): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let trimNext = false;
  while (at < source.length) {
    const open = source.indexOf('{{', at);
    const textEnd = open < 0 ? source.length : open;
    const trimsBefore = open >= 0 && /^-[ \t\r\n]/.test(source.slice(open + 2, open + 4));
    let literal = source.slice(at, textEnd);
    let start = at;
    if (trimNext) {
      const trimmed = literal.replace(/^[ \t\r\n]+/, '');
      start += literal.length - trimmed.length;
      literal = trimmed;
    }
    if (trimsBefore) literal = literal.replace(/[ \t\r\n]+$/, '');
    if (literal !== '') tokens.push({ kind: 'text', text: literal, at: start });
    if (open < 0) break;
    const inside = open + (trimsBefore ? 3 : 2);
    const comment = /^[ \t\r\n]*\/\*/.exec(source.slice(inside));
    if (comment !== null) {
      const end = source.indexOf('*/', inside + comment[0].length);
      if (end < 0) fail(open, 'unclosed comment');
      const closing = /^(?:[ \t\r\n]+-)?\}\}/.exec(source.slice(end + 2));
      if (closing === null) fail(open, 'comment ends before closing delimiter');
      trimNext = closing?.[0].includes('-') === true;
      at = end + 2 + (closing?.[0].length ?? 0);
      continue;
    }
    tokens.push({ kind: 'open', text: '{{', at: open });
    [at, trimNext] = lexAction(source, inside, tokens, fail);
  }
  tokens.push({ kind: 'end', text: '', at: source.length });
  return tokens;
}

function lexAction(source: string, from: number, tokens: Token[], fail: Fail): [number, boolean] {
  let at = from;
  let depth = 0;
  for (;;) {
    const closing = /^(?:[ \t\r\n]+-)?\}\}/.exec(source.slice(at, at + 64));
    if (closing !== null) {
      if (depth > 0) fail(at, 'unclosed left paren');
      tokens.push({ kind: 'close', text: '}}', at });
      return [at + closing[0].length, closing[0].includes('-')];
    }
    if (at >= source.length) fail(at, 'unclosed action');
    const token = nextToken(source, at, fail);
    if (token.kind === 'lparen') depth += 1;
    if (token.kind === 'rparen') {
      depth -= 1;
      if (depth < 0) fail(at, 'unexpected right paren');
    }
    tokens.push(token);
    at += token.text.length;
  }
}

function nextToken(source: string, at: number, fail: Fail): Token {
  for (const [kind, pattern] of patterns) {
    pattern.lastIndex = at;
    const match = pattern.exec(source);
    if (match !== null) return { kind, text: match[0], at };
  }
  const char = String.fromCodePoint(source.codePointAt(at) ?? 0);
  if (char === '"') fail(at, 'unterminated quoted string');
  if (char === '`') fail(at, 'unterminated raw quoted string');
  if (char === "'") fail(at, 'unterminated character constant');
  if (char === ':') fail(at, 'expected :=');
  const code = (char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
  return fail(at, `unrecognized character in action: U+${code} '${char}'`);
}

import { type Fail, lex, type Token, type TokenKind } from './lexer.ts';
import { type Call, type Expression, type Node, type Pipe, type Template, TemplateError } from './node.ts';

/** Reads a template. `functions` are the names it may call. Rejects with TemplateError. */
export function parseTemplate(name: string, source: string, functions: ReadonlySet<string>): Template {
  const fail: Fail = (at, message) => {
    throw new TemplateError(`template: ${name}:${lineOf(source, at)}: ${message}`);
  };
  return new Parser(name, source, lex(source, fail), functions, fail).parse();
}

export const lineOf = (source: string, at: number): number => source.slice(0, at).split('\n').length;

type BlockEnd = 'end' | 'else' | 'eof';

class Parser {
  readonly #name: string;
  readonly #source: string;
  readonly #tokens: readonly Token[];
  readonly #functions: ReadonlySet<string>;
  readonly #fail: Fail;
  readonly #defined = new Map<string, readonly Node[]>();
  #next = 0;
  #variables = ['$'];
  #rangeDepth = 0;

  constructor(name: string, source: string, tokens: readonly Token[], functions: ReadonlySet<string>, fail: Fail) {
    this.#name = name;
    this.#source = source;
    this.#tokens = tokens;
    this.#functions = functions;
    this.#fail = fail;
  }

  parse(): Template {
    const { nodes, end, at } = this.#list();
    if (end !== 'eof') this.#fail(at, `unexpected {{${end}}}`);
    return { name: this.#name, source: this.#source, nodes, defined: this.#defined };
  }

  #peek(): Token {
    return this.#tokens[this.#next] ?? { kind: 'end', text: '', at: this.#source.length };
  }

  #take(): Token {
    const token = this.#peek();
    this.#next += 1;
    return token;
  }

  #skipSpace(): void {
    if (this.#peek().kind === 'space') this.#next += 1;
  }

  #expect(kind: TokenKind, context: string): Token {
    this.#skipSpace();
    const token = this.#take();
    if (token.kind !== kind) this.#unexpected(token, context);
    return token;
  }

  #unexpected(token: Token, context: string): never {
    if (token.kind === 'end') return this.#fail(token.at, 'unexpected EOF');
    return this.#fail(token.at, `unexpected ${shown(token)} in ${context}`);
  }

  #list(): { nodes: Node[]; end: BlockEnd; at: number } {
    const nodes: Node[] = [];
    for (;;) {
      const token = this.#take();
      if (token.kind === 'end') return { nodes, end: 'eof', at: token.at };
      if (token.kind === 'text') {
        nodes.push({ kind: 'text', at: token.at, text: token.text });
        continue;
      }
      if (token.kind !== 'open') this.#unexpected(token, 'input');
      this.#skipSpace();
      const word = this.#peek();
      if (word.kind === 'identifier' && (word.text === 'end' || word.text === 'else')) {
        this.#take();
        if (word.text === 'end') this.#expect('close', 'end');
        return { nodes, end: word.text, at: word.at };
      }
      const node = this.#action();
      if (node !== undefined) nodes.push(node);
    }
  }

  #action(): Node | undefined {
    const word = this.#peek();
    if (word.kind === 'identifier') {
      switch (word.text) {
        case 'if':
        case 'with':
        case 'range':
          this.#take();
          return this.#control(word.text, word.at);
        case 'define':
          this.#take();
          this.#define();
          return undefined;
        case 'block':
          this.#take();
          return this.#block(word.at);
        case 'template':
          this.#take();
          return this.#call(word.at);
        case 'break':
        case 'continue':
          this.#take();
          if (this.#rangeDepth === 0) this.#fail(word.at, `{{${word.text}}} outside {{range}}`);
          this.#expect('close', `{{${word.text}}}`);
          return { kind: word.text, at: word.at };
      }
    }
    const pipe = this.#pipe('command', 'close');
    return { kind: 'action', at: pipe.at, pipe };
  }

  #control(kind: 'if' | 'with' | 'range', at: number): Node {
    const outer = this.#variables.length;
    const pipe = this.#pipe(kind, 'close');
    if (kind === 'range') this.#rangeDepth += 1;
    const { nodes: body, end } = this.#list();
    if (kind === 'range') this.#rangeDepth -= 1;
    let otherwise: readonly Node[] = [];
    if (end === 'eof') this.#fail(this.#source.length, 'unexpected EOF');
    if (end === 'else') otherwise = this.#otherwise(kind);
    this.#variables.length = outer;
    return { kind, at, pipe, body, otherwise };
  }

  #otherwise(kind: 'if' | 'with' | 'range'): readonly Node[] {
    this.#skipSpace();
    const word = this.#peek();
    if (word.kind === 'identifier' && word.text === kind && kind !== 'range') {
      this.#take();
      return [this.#control(kind, word.at)];
    }
    this.#expect('close', 'else');
    const { nodes, end, at } = this.#list();
    if (end === 'eof') this.#fail(this.#source.length, 'unexpected EOF');
    if (end === 'else') this.#fail(at, 'expected end; found {{else}}');
    return nodes;
  }

  #quotedName(context: string): string {
    this.#skipSpace();
    const token = this.#take();
    if (token.kind !== 'string') this.#unexpected(token, context);
    return unquote(token, this.#fail);
  }

  #define(): void {
    const name = this.#quotedName('define clause');
    this.#expect('close', 'define clause');
    this.#defined.set(name, this.#definition());
  }

  #definition(): readonly Node[] {
    const outer = this.#variables;
    this.#variables = ['$'];
    const { nodes, end, at } = this.#list();
    this.#variables = outer;
    if (end !== 'end') this.#fail(at, end === 'eof' ? 'unexpected EOF' : 'unexpected {{else}} in define clause');
    return nodes;
  }

  #block(at: number): Node {
    const name = this.#quotedName('block clause');
    this.#skipSpace();
    const pipe = this.#pipe('block clause', 'close');
    this.#defined.set(name, this.#definition());
    return { kind: 'template', at, name, pipe };
  }

  #call(at: number): Node {
    const name = this.#quotedName('template clause');
    this.#skipSpace();
    if (this.#peek().kind === 'close') {
      this.#take();
      return { kind: 'template', at, name, pipe: undefined };
    }
    return { kind: 'template', at, name, pipe: this.#pipe('template clause', 'close') };
  }

  #pipe(context: string, end: 'close' | 'rparen'): Pipe {
    this.#skipSpace();
    const at = this.#peek().at;
    const { names: declare, assign } = this.#declarations(context);
    const calls: Call[] = [];
    for (;;) {
      this.#skipSpace();
      const token = this.#peek();
      if (token.kind === end) {
        this.#take();
        if (calls.length === 0) this.#fail(token.at, `missing value for ${context}`);
        this.#checkPipeline(calls);
        if (!assign) this.#variables.push(...declare);
        return { at, declare, assign, calls };
      }
      calls.push(this.#callWords(context));
    }
  }

  /** Only a function or a method can take the value that a pipe hands on. */
  #checkPipeline(calls: readonly Call[]): void {
    for (const [i, call] of calls.slice(1).entries()) {
      const [first] = call.words;
      if (first !== undefined && (first.kind === 'literal' || first.kind === 'dot' || first.kind === 'nil')) {
        this.#fail(call.at, `non executable command in pipeline stage ${i + 2}`);
      }
    }
  }

  #declarations(context: string): { names: string[]; assign: boolean } {
    const start = this.#next;
    const names: string[] = [];
    for (;;) {
      this.#skipSpace();
      const variable = this.#peek();
      if (variable.kind !== 'variable') break;
      this.#take();
      this.#skipSpace();
      const after = this.#peek();
      if (after.kind === 'declare' || after.kind === 'assign') {
        this.#take();
        names.push(variable.text);
        if (after.kind === 'assign') for (const name of names) this.#checkVariable(name, variable.at);
        return { names, assign: after.kind === 'assign' };
      }
      if (after.kind === 'comma' && context === 'range' && names.length === 0) {
        this.#take();
        names.push(variable.text);
        continue;
      }
      break;
    }
    this.#next = start;
    return { names: [], assign: false };
  }

  #callWords(context: string): Call {
    const words: Expression[] = [];
    const at = this.#peek().at;
    for (;;) {
      this.#skipSpace();
      const operand = this.#operand();
      if (operand !== undefined) words.push(operand);
      const token = this.#take();
      if (token.kind === 'space') {
        const ahead = this.#peek().kind;
        if (ahead !== 'pipe' && ahead !== 'close' && ahead !== 'rparen') continue;
        continue;
      }
      if (token.kind === 'close' || token.kind === 'rparen') {
        this.#next -= 1;
        break;
      }
      if (token.kind === 'pipe') {
        if (words.length === 0) this.#fail(token.at, `missing value for ${context}`);
        this.#skipSpace();
        const ahead = this.#peek();
        if (ahead.kind === 'close' || ahead.kind === 'rparen') this.#fail(ahead.at, `missing value for ${context}`);
        return { at, words };
      }
      this.#unexpected(token, 'operand');
    }
    if (words.length === 0) this.#fail(at, 'empty command');
    return { at, words };
  }

  #operand(): Expression | undefined {
    const base = this.#term();
    if (base === undefined) return undefined;
    const path: string[] = [];
    // Go reports the place of the second name for a chain of them.
    const { at } = this.#peek();
    while (this.#peek().kind === 'field') path.push(this.#take().text.slice(1));
    if (path.length === 0) return base;
    switch (base.kind) {
      case 'field':
        return { ...base, at, path: [...base.path, ...path] };
      case 'variable':
        return { ...base, at, path: [...base.path, ...path] };
      case 'dot':
        return this.#fail(base.at, 'unexpected . after term "."');
      case 'literal':
      case 'nil':
        return this.#fail(base.at, `unexpected . after term ${JSON.stringify(base.kind === 'nil' ? 'nil' : base.source)}`);
      case 'function':
      case 'chain':
      case 'pipe':
        return { kind: 'chain', at, base, path };
    }
  }

  #term(): Expression | undefined {
    const token = this.#peek();
    const { at, text } = token;
    switch (token.kind) {
      case 'identifier':
        this.#take();
        if (text === 'true' || text === 'false') return { kind: 'literal', at, value: text === 'true', source: text };
        if (text === 'nil') return { kind: 'nil', at };
        if (!this.#functions.has(text)) this.#fail(at, `function ${JSON.stringify(text)} not defined`);
        return { kind: 'function', at, name: text };
      case 'dot':
        this.#take();
        return { kind: 'dot', at };
      case 'field':
        this.#take();
        return { kind: 'field', at, path: [text.slice(1)] };
      case 'variable':
        this.#take();
        this.#checkVariable(text, at);
        return { kind: 'variable', at, name: text, path: [] };
      case 'string':
        this.#take();
        return { kind: 'literal', at, value: unquote(token, this.#fail), source: text };
      case 'char':
        this.#take();
        return { kind: 'literal', at, value: unquote(token, this.#fail).codePointAt(0) ?? 0, source: text };
      case 'number':
        this.#take();
        return { kind: 'literal', at, value: this.#number(token), source: text };
      case 'lparen':
        this.#take();
        return { kind: 'pipe', at, pipe: this.#pipe('parenthesized pipeline', 'rparen') };
      default:
        return undefined;
    }
  }

  #checkVariable(name: string, at: number): void {
    if (!this.#variables.includes(name)) this.#fail(at, `undefined variable ${JSON.stringify(name)}`);
  }

  #number(token: Token): number | bigint {
    const plain = token.text.replaceAll('_', '');
    const ahead = this.#source[token.at + token.text.length] ?? '';
    if (/[\p{L}\p{N}_]/u.test(ahead)) this.#fail(token.at, `bad number syntax: ${JSON.stringify(token.text + ahead)}`);
    const unsigned = plain.replace(/^[+-]/, '');
    const sign = plain.startsWith('-') ? -1 : 1;
    if (/^0[0-7]+$/.test(unsigned)) return sign * Number.parseInt(unsigned, 8);
    const value = sign * Number(unsigned);
    return Number.isInteger(value) && !Number.isSafeInteger(value) && /^\d+$/.test(unsigned) ? BigInt(plain) : value;
  }
}

function shown(token: Token): string {
  if (token.kind === 'space') return '<space>';
  return token.text.length > 10 ? `${JSON.stringify(token.text.slice(0, 10))}...` : JSON.stringify(token.text);
}

const escapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  "'": "'",
  '"': '"',
};

function unquote(token: Token, fail: Fail): string {
  const body = token.text.slice(1, -1);
  if (token.text.startsWith('`')) return body;
  return body.replace(/\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)/gs, (_all, escape: string) => {
    if (/^[xuU]./.test(escape)) return String.fromCodePoint(Number.parseInt(escape.slice(1), 16));
    if (/^[0-7]{3}$/.test(escape)) return String.fromCharCode(Number.parseInt(escape, 8));
    return escapes[escape] ?? fail(token.at, 'invalid syntax');
  });
}

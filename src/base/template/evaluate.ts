import { callFunction, type FunctionTable, valueFunctions } from './functions.ts';
import { type Call, type Expression, type Node, type Pipe, printCall, printExpression, type Template, TemplateError } from './node.ts';
import { lineOf, parseTemplate } from './parser.ts';
import { wireName, zeroOf } from './shapes.ts';
import { isMap, isTrue, printValue, Struct, typeOf } from './value.ts';

export interface TemplateOptions {
  /** Shown in errors; Docker leaves it empty for most commands. */
  readonly name?: string;
  readonly functions?: FunctionTable;
  /** A key that a map has not: `error`, or print `<no value>`. */
  readonly missingKey?: 'error' | 'zero';
  /** True for names that may be absent although JSON left them out: they are nil then. */
  readonly isOptional?: (path: string) => boolean;
}

export interface CompiledTemplate {
  /** Rejects with TemplateError. */
  execute(data: unknown): string;
}

/** Reads a Go template. Throws TemplateError when it cannot be read. */
export function compileTemplate(source: string, options: TemplateOptions = {}): CompiledTemplate {
  const functions = options.functions ?? valueFunctions;
  const template = parseTemplate(options.name ?? '', source, new Set(Object.keys(functions)));
  return { execute: data => new Evaluator(template, functions, options).run(data) };
}

type Control = 'next' | 'break' | 'continue';
const noValue = Symbol('no value handed on');
const maxDepth = 100_000;

class Evaluator {
  readonly #template: Template;
  readonly #functions: FunctionTable;
  readonly #options: TemplateOptions;
  #variables: { name: string; value: unknown }[] = [];
  #out = '';
  #depth = 0;

  constructor(template: Template, functions: FunctionTable, options: TemplateOptions) {
    this.#template = template;
    this.#functions = functions;
    this.#options = options;
  }

  run(data: unknown): string {
    this.#variables = [{ name: '$', value: data }];
    this.#list(this.#template.nodes, data);
    return this.#out;
  }

  #error(at: number, context: string, message: string, cause?: unknown): never {
    const { name, source } = this.#template;
    const column = at - (source.lastIndexOf('\n', at - 1) + 1);
    const place = `template: ${name}:${lineOf(source, at)}:${column}`;
    throw new TemplateError(`${place}: executing ${JSON.stringify(name)} at <${context}>: ${message}`, { cause });
  }

  #list(nodes: readonly Node[], dot: unknown): Control {
    for (const node of nodes) {
      const control = this.#node(node, dot);
      if (control !== 'next') return control;
    }
    return 'next';
  }

  #node(node: Node, dot: unknown): Control {
    switch (node.kind) {
      case 'text':
        this.#out += node.text;
        return 'next';
      case 'action': {
        const value = this.#pipe(node.pipe, dot);
        if (node.pipe.declare.length === 0) this.#out += printValue(value);
        return 'next';
      }
      case 'if':
      case 'with':
        return this.#scoped(() => {
          const value = this.#pipe(node.pipe, dot);
          const next = node.kind === 'with' ? value : dot;
          return isTrue(value) ? this.#list(node.body, next) : this.#list(node.otherwise, dot);
        });
      case 'range':
        return this.#scoped(() => this.#range(node, dot));
      case 'template':
        this.#call(node, dot);
        return 'next';
      case 'break':
      case 'continue':
        return node.kind;
    }
  }

  #scoped(body: () => Control): Control {
    const outer = this.#variables.length;
    try {
      return body();
    } finally {
      this.#variables.length = outer;
    }
  }

  #range(node: Node & { kind: 'if' | 'with' | 'range' }, dot: unknown): Control {
    const { pipe } = node;
    const value = this.#pipe({ ...pipe, declare: [] }, dot);
    const entries = this.#entries(node, value);
    if (entries.length === 0) return this.#list(node.otherwise, dot);
    for (const [key, item] of entries) {
      const control = this.#scoped(() => {
        const [first, second] = pipe.declare;
        if (second !== undefined) {
          this.#bind(first ?? '', key, pipe.assign);
          this.#bind(second, item, pipe.assign);
        } else if (first !== undefined) this.#bind(first, item, pipe.assign);
        return this.#list(node.body, item);
      });
      if (control === 'break') break;
    }
    return 'next';
  }

  #entries(node: Node & { kind: 'if' | 'with' | 'range' }, value: unknown): (readonly [unknown, unknown])[] {
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value.map((item, i) => [i, item]);
    if (typeof value === 'number') return Array.from({ length: value }, (_none, i) => [i, i]);
    if (isMap(value)) {
      return Object.keys(value)
        .toSorted()
        .map(key => [key, value[key]]);
    }
    return this.#error(node.pipe.at, node.pipe.calls.map(printCall).join(' | '), `range can't iterate over ${printValue(value)}`);
  }

  #call(node: Node & { kind: 'template' }, dot: unknown): void {
    const body = this.#template.defined.get(node.name);
    if (body === undefined)
      this.#error(node.at, `{{template ${JSON.stringify(node.name)}}}`, `template ${JSON.stringify(node.name)} not defined`);
    if (this.#depth >= maxDepth) this.#error(node.at, `{{template ${JSON.stringify(node.name)}}}`, 'exceeded maximum template depth');
    const argument = node.pipe === undefined ? undefined : this.#pipe(node.pipe, dot);
    const outer = this.#variables;
    this.#variables = [{ name: '$', value: argument }];
    this.#depth += 1;
    this.#list(body ?? [], argument);
    this.#depth -= 1;
    this.#variables = outer;
  }

  #bind(name: string, value: unknown, assign: boolean): void {
    const known = assign ? this.#variables.findLast(variable => variable.name === name) : undefined;
    if (known === undefined) this.#variables.push({ name, value });
    else known.value = value;
  }

  #pipe(pipe: Pipe, dot: unknown): unknown {
    let value: unknown = noValue;
    for (const call of pipe.calls) value = this.#callWords(call, dot, value);
    for (const name of pipe.declare) this.#bind(name, value, pipe.assign);
    return value === noValue ? undefined : value;
  }

  #callWords(call: Call, dot: unknown, piped: unknown): unknown {
    const [first, ...rest] = call.words;
    if (first === undefined) return undefined;
    switch (first.kind) {
      case 'function':
        return this.#function(first, rest, dot, piped);
      case 'field':
      case 'variable':
      case 'chain':
        return this.#path(
          first,
          dot,
          [...rest.map(word => this.#value(word, dot)), ...(piped === noValue ? [] : [piped])],
          rest.length > 0 || piped !== noValue,
        );
      default:
        if (rest.length > 0 || piped !== noValue)
          this.#error(first.at, printExpression(first), `can't give argument to non-function ${printExpression(first)}`);
        if (first.kind === 'nil') this.#error(first.at, 'nil', 'nil is not a command');
        return this.#value(first, dot);
    }
  }

  #function(first: Expression & { kind: 'function' }, rest: readonly Expression[], dot: unknown, piped: unknown): unknown {
    const { name } = first;
    if (name === 'and' || name === 'or') {
      let value: unknown;
      for (const word of rest) {
        value = this.#value(word, dot);
        if (isTrue(value) === (name === 'or')) return value;
      }
      return piped === noValue ? value : piped;
    }
    const args = [...rest.map(word => this.#value(word, dot)), ...(piped === noValue ? [] : [piped])];
    try {
      return callFunction(this.#functions, name, args);
    } catch (err) {
      return this.#error(first.at, [name, ...rest.map(printExpression)].join(' '), err instanceof Error ? err.message : String(err), err);
    }
  }

  #value(expression: Expression, dot: unknown): unknown {
    switch (expression.kind) {
      case 'dot':
        return dot;
      case 'nil':
        return undefined;
      case 'literal':
        return expression.value;
      case 'field':
      case 'variable':
      case 'chain':
        return this.#path(expression, dot, [], false);
      case 'function':
        return this.#function(expression, [], dot, noValue);
      case 'pipe':
        return this.#pipe(expression.pipe, dot);
    }
  }

  #path(
    expression: Expression & { kind: 'field' | 'variable' | 'chain' },
    dot: unknown,
    args: readonly unknown[],
    called: boolean,
  ): unknown {
    let value = dot;
    if (expression.kind === 'variable') value = this.#variables.findLast(variable => variable.name === expression.name)?.value;
    if (expression.kind === 'chain') value = this.#value(expression.base, dot);
    const shown = printExpression(expression);
    for (const [i, name] of expression.path.entries()) {
      const last = i === expression.path.length - 1;
      value = this.#field(expression, value, name, last ? args : [], shown, expression.path.slice(0, i + 1).join('.'));
    }
    if (called && expression.path.length === 0) this.#error(expression.at, shown, `can't give argument to non-function ${shown}`);
    return value;
  }

  #field(expression: Expression, value: unknown, name: string, args: readonly unknown[], shown: string, path: string): unknown {
    const fail = (message: string): never => this.#error(expression.at, shown, message);
    if (value === undefined || value === null) return fail(`nil data; no entry for key ${JSON.stringify(name)}`);
    if (value instanceof Struct) {
      if (!value.has(name)) return fail(`can't evaluate field ${name} in type ${value.typeName}`);
      const method = value.method(name);
      if (method !== undefined) {
        if (args.length !== method.length) return fail(`wrong number of args for ${name}: want ${method.length} got ${args.length}`);
        return method(...args.map(printValue));
      }
      if (args.length > 0) return fail(`wrong number of args for ${name}: want 0 got ${args.length}`);
      return value.get(name);
    }
    if (!isMap(value)) return fail(`can't evaluate field ${name} in type ${typeOf(value)}`);
    if (args.length > 0) return fail(`${name} is not a method but has arguments`);
    const key = wireName(value, name);
    const known = (Object.hasOwn(value, key) ? value[key] : undefined) ?? zeroOf(value, name);
    if (known !== undefined) return known;
    // Null says nothing of the type behind it, as if nothing were there.
    if (Object.hasOwn(value, key)) return undefined;
    if (this.#options.isOptional?.(path) === true || this.#options.missingKey !== 'error') return undefined;
    return fail(`map has no entry for key ${JSON.stringify(name)}`);
  }
}

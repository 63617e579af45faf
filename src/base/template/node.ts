/** Where something stands: a byte offset into the template. */
interface At {
  readonly at: number;
}

export type Expression =
  | (At & { readonly kind: 'dot' })
  | (At & { readonly kind: 'nil' })
  | (At & { readonly kind: 'literal'; readonly value: boolean | number | bigint | string; readonly source: string })
  | (At & { readonly kind: 'field'; readonly path: readonly string[] })
  | (At & { readonly kind: 'variable'; readonly name: string; readonly path: readonly string[] })
  | (At & { readonly kind: 'function'; readonly name: string })
  | (At & { readonly kind: 'chain'; readonly base: Expression; readonly path: readonly string[] })
  | (At & { readonly kind: 'pipe'; readonly pipe: Pipe });

/** A word and its arguments. */
export interface Call extends At {
  readonly words: readonly Expression[];
}

export interface Pipe extends At {
  readonly declare: readonly string[];
  /** `=` to a variable that exists, not `:=`. */
  readonly assign: boolean;
  readonly calls: readonly Call[];
}

export type Node =
  | (At & { readonly kind: 'text'; readonly text: string })
  | (At & { readonly kind: 'action'; readonly pipe: Pipe })
  | (At & {
      readonly kind: 'if' | 'with' | 'range';
      readonly pipe: Pipe;
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    })
  | (At & { readonly kind: 'template'; readonly name: string; readonly pipe: Pipe | undefined })
  | (At & { readonly kind: 'break' | 'continue' });

export interface Template {
  readonly name: string;
  readonly source: string;
  readonly nodes: readonly Node[];
  readonly defined: ReadonlyMap<string, readonly Node[]>;
}

/** A template that cannot be read or cannot be carried out, in the words of Go's text/template. */
export class TemplateError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'TemplateError';
  }
}

/** The words of an expression as Go prints them in errors. */
export function printExpression(expression: Expression): string {
  switch (expression.kind) {
    case 'dot':
      return '.';
    case 'nil':
      return 'nil';
    case 'literal':
      return expression.source;
    case 'field':
      return `.${expression.path.join('.')}`;
    case 'variable':
      return [expression.name, ...expression.path].join('.');
    case 'function':
      return expression.name;
    case 'chain':
      return `${expression.base.kind === 'pipe' ? printExpression(expression.base) : printExpression(expression.base)}.${expression.path.join('.')}`;
    case 'pipe':
      return `(${printPipe(expression.pipe)})`;
  }
}

export const printCall = (call: Call): string => call.words.map(printExpression).join(' ');

export function printPipe(pipe: Pipe): string {
  const target = pipe.declare.length === 0 ? '' : `${pipe.declare.join(', ')} ${pipe.assign ? '=' : ':='} `;
  return target + pipe.calls.map(printCall).join(' | ');
}

import { printValue, toJson, typeOf } from './value.ts';

/** Go's fmt.Sprintf for the values that templates have. */
export function sprintf(format: string, args: readonly unknown[]): string {
  let next = 0;
  const out = format.replace(
    /%([-+# 0]*)(\*|\d+)?(?:\.(\*|\d+)?)?([a-zA-Z%])/g,
    (verbText, flags: string, width: string | undefined, precision: string | undefined, verb: string) => {
      if (verb === '%') return '%';
      const star = (text: string | undefined): number | undefined =>
        text === '*' ? Number(args[next++]) : text === undefined ? undefined : Number(text);
      const columns = star(width);
      const digits = verbText.includes('.') ? (star(precision) ?? 0) : undefined;
      if (next >= args.length) return `%!${verb}(MISSING)`;
      return pad(formatVerb(verb, args[next++], flags, digits), columns, flags);
    },
  );
  if (next >= args.length) return out;
  const extra = args.slice(next).map(value => (value === null || value === undefined ? '<nil>' : `${typeOf(value)}=${printValue(value)}`));
  return `${out}%!(EXTRA ${extra.join(', ')})`;
}

function pad(text: string, width: number | undefined, flags: string): string {
  if (width === undefined) return text;
  const missing = Math.abs(width) - [...text].length;
  if (missing <= 0) return text;
  if (flags.includes('-') || width < 0) return text + ' '.repeat(missing);
  if (!flags.includes('0')) return ' '.repeat(missing) + text;
  const sign = /^[+-]/.exec(text)?.[0] ?? '';
  return sign + '0'.repeat(missing) + text.slice(sign.length);
}

const wrong = (verb: string, value: unknown): string =>
  value === null || value === undefined ? `%!${verb}(<nil>)` : `%!${verb}(${typeOf(value)}=${printValue(value)})`;

function formatVerb(verb: string, value: unknown, flags: string, digits: number | undefined): string {
  switch (verb) {
    case 'v':
      if (value === null || value === undefined) return '<nil>';
      if (flags.includes('#')) return typeof value === 'string' ? toJson(value) : printValue(value);
      return typeof value === 'number' && flags.includes('+') && value >= 0 ? `+${printValue(value)}` : printValue(value);
    case 's':
      if (value === null || value === undefined) return '%!s(<nil>)';
      if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return wrong('s', value);
      return digits === undefined ? printValue(value) : [...printValue(value)].slice(0, digits).join('');
    case 'q':
      return typeof value === 'string' ? toJson(value) : typeof value === 'number' ? `'${String.fromCodePoint(value)}'` : wrong('q', value);
    case 'd':
    case 'x':
    case 'X':
    case 'o':
    case 'b':
      return formatInteger(verb, value, flags);
    case 'c':
    case 'U':
      if (typeof value !== 'number') return wrong(verb, value);
      return verb === 'c' ? String.fromCodePoint(value) : `U+${value.toString(16).toUpperCase().padStart(4, '0')}`;
    case 't':
      return typeof value === 'boolean' ? String(value) : wrong('t', value);
    case 'T':
      return typeOf(value);
    case 'f':
    case 'F':
    case 'e':
    case 'g':
      return formatFloat(verb, value, flags, digits);
    default:
      return wrong(verb, value);
  }
}

function formatInteger(verb: string, value: unknown, flags: string): string {
  if (verb.toLowerCase() === 'x' && typeof value === 'string') {
    const hex = Buffer.from(value).toString('hex');
    return verb === 'X' ? hex.toUpperCase() : hex;
  }
  if (typeof value !== 'bigint' && !(typeof value === 'number' && Number.isInteger(value))) return wrong(verb, value);
  const radix = { d: 10, x: 16, X: 16, o: 8, b: 2 }[verb] ?? 10;
  const text = BigInt(value).toString(radix);
  const prefix = flags.includes('#') && radix === 16 ? `0${verb}` : '';
  const digits = verb === 'X' ? text.toUpperCase() : text;
  return `${flags.includes('+') && value >= 0 ? '+' : ''}${prefix}${digits}`;
}

function formatFloat(verb: string, value: unknown, flags: string, digits: number | undefined): string {
  // A number without a fraction is an integer here, as it would be to whoever printed it: Go would refuse the verb.
  if (typeof value !== 'number') return wrong(verb, value);
  const sign = flags.includes('+') && value >= 0 ? '+' : '';
  if (verb === 'g') return sign + (digits === undefined ? String(value) : String(Number(value.toPrecision(digits))));
  if (verb !== 'e') return sign + value.toFixed(digits ?? 6);
  return sign + value.toExponential(digits ?? 6).replace(/e([+-])(\d)$/, 'e$10$2');
}

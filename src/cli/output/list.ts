import type { Cli } from '../cli.ts';
import { ExitError } from '../errors.ts';
import type { Struct } from '#base/template/value.ts';
import { alignColumns } from './tab-writer.ts';

/** How a kind of object shows in lists. Fields are what templates call them: `{{.ID}}`. */
export interface ListView<T> {
  /** The Go type that template errors name. */
  readonly typeName: string;
  readonly fields: Readonly<Record<string, (item: T) => unknown>>;
  /** Fields that read otherwise in JSON. */
  readonly jsonFields?: Readonly<Record<string, (item: T) => unknown>>;
  /** Columns of the table that templates and JSON do not know. */
  readonly hiddenFields?: Readonly<Record<string, (item: T) => unknown>>;
  /** Methods of templates, such as `{{.Label "key"}}`. */
  readonly methods?: Readonly<Record<string, (item: T) => (key: string) => unknown>>;
  /** The heading of each field; one that is missing cannot head a column. */
  readonly headers: Readonly<Record<string, string>>;
  /** The fields of the table when nobody asks for others. */
  readonly columns: readonly string[];
  /** The field that `--quiet` prints. */
  readonly quietField?: string;
  /** What is said before a template's errors; otherwise the same for both. */
  readonly templateFailures?: { readonly parse: string; readonly execute: string };
}

export interface ListOptions {
  /** From `--format` or the settings. Empty: the table. */
  readonly format: string;
  readonly quiet?: boolean;
}

/** Prints a list as the table, the ids only, JSON a line, or through a template. */
export async function printList<T>(cli: Cli, view: ListView<T>, items: readonly T[], options: ListOptions): Promise<void> {
  cli.out.write(await formatList(view, items, options));
}

/** What `printList` prints. */
export async function formatList<T>(view: ListView<T>, items: readonly T[], { format, quiet = false }: ListOptions): Promise<string> {
  if (quiet && view.quietField !== undefined && (format === '' || format === 'table')) {
    const field = view.fields[view.quietField];
    return items.map(item => `${String(field?.(item))}\n`).join('');
  }
  if (format === '' || format === 'table') {
    const header = view.columns.map(name => view.headers[name] ?? '').join('\t');
    const fields = { ...view.fields, ...view.hiddenFields };
    const rows = items.map(item => view.columns.map(name => String(fields[name]?.(item) ?? '')).join('\t'));
    return alignColumns(`${[header, ...rows].join('\n')}\n`);
  }
  return await renderList(view, items, format);
}

/** A list through a template; `table …` adds the headings and aligns. */
async function renderList<T>(view: ListView<T>, items: readonly T[], format: string): Promise<string> {
  const [{ compileTemplate }, { headerFunctions }, { TemplateError }, { Struct: StructOf }] = await Promise.all([
    import('#base/template/evaluate.ts'),
    import('#base/template/functions.ts'),
    import('#base/template/node.ts'),
    import('#base/template/value.ts'),
  ]);
  const table = format.startsWith('table');
  const failures = view.templateFailures ?? { parse: 'template parsing error', execute: 'template parsing error' };
  const body =
    format === 'json'
      ? '{{json .}}'
      : (table ? format.slice('table'.length) : format)
          .replace(/^ +| +$/g, '')
          .replaceAll('\\t', '\t')
          .replaceAll('\\n', '\n');
  const read = (functions?: typeof headerFunctions): ReturnType<typeof compileTemplate> => {
    try {
      return compileTemplate(body, functions === undefined ? {} : { functions });
    } catch (err) {
      throw err instanceof TemplateError ? new ExitError(1, `${failures.parse}: ${err.message}`, { cause: err }) : err;
    }
  };
  try {
    const rowTemplate = read();
    const rows = items.map(item => `${rowTemplate.execute(toStruct(view, item, StructOf))}\n`);
    if (!table) return rows.join('');
    const heading = read(headerFunctions).execute(headingOf(view, StructOf));
    return alignColumns(`${heading}\n${rows.join('')}`);
  } catch (err) {
    throw err instanceof TemplateError ? new ExitError(1, `${failures.execute}: ${err.message}`, { cause: err }) : err;
  }
}

type StructClass = typeof Struct;

/** What a template sees of an item. */
export function toStruct<T>(view: ListView<T>, item: T, StructOf: StructClass): Struct {
  const bound = (fields: ListView<T>['fields']) => Object.fromEntries(Object.entries(fields).map(([name, get]) => [name, () => get(item)]));
  const methods = Object.fromEntries(Object.entries(view.methods ?? {}).map(([name, get]) => [name, (key: string) => get(item)(key)]));
  return new StructOf(view.typeName, bound(view.fields), methods, bound(view.jsonFields ?? {}));
}

function headingOf<T>(view: ListView<T>, StructOf: StructClass): Struct {
  const fields = Object.fromEntries(Object.entries(view.headers).map(([name, header]) => [name, () => header]));
  // `{{.Label "com.example.key"}}` is headed by the last part of the key.
  const methods = Object.fromEntries(
    Object.keys(view.methods ?? {}).map(name => [
      name,
      (key: string) => key.split('.').at(-1)?.replaceAll('-', ' ').replaceAll('_', ' ') ?? '',
    ]),
  );
  return new StructOf(view.typeName, fields, methods);
}

import { messageOf } from '#base/errors.ts';
import type { Cli } from '../cli.ts';
import { ExitError } from '../errors.ts';
import { escapeHtml } from '#base/template/value.ts';

/**
 * Prints what is known about each of many objects: an indented JSON array, one line of JSON, or a template for each. What was found is printed also
 * when something was not; the reasons come afterwards with exit code 1. Docker escapes JSON for HTML in some places: `escaped` says so.
 */
export async function inspectEach(
  cli: Cli,
  names: readonly string[],
  format: string,
  get: (name: string) => Promise<unknown>,
  { escaped = false }: { readonly escaped?: boolean } = {},
): Promise<number> {
  const render = format === '' || format === 'json' ? undefined : await compile(cli, format);
  const found: unknown[] = [];
  const failures: string[] = [];
  for (const name of names) {
    try {
      const value = await get(name);
      if (render === undefined) found.push(value);
      else cli.out.write(render(value));
    } catch (err) {
      if (err instanceof ExitError) throw err;
      failures.push(messageOf(err));
    }
  }
  const text = JSON.stringify(found, null, format === 'json' ? 0 : 4);
  if (render === undefined) cli.out.line(escaped ? escapeHtml(text) : text);
  else if (found.length === 0 && failures.length === names.length) cli.out.line();
  if (failures.length > 0) throw new ExitError(1, failures.join('\n'));
  return 0;
}

async function compile(cli: Cli, format: string): Promise<(value: unknown) => string> {
  const [{ compileTemplate }, { TemplateError }, { isOptionalField }, { rememberShapes }] = await Promise.all([
    import('#base/template/evaluate.ts'),
    import('#base/template/node.ts'),
    import('../template/optional-fields.ts'),
    import('../template/shapes.ts'),
  ]);
  const guard = <T>(action: () => T): T => {
    try {
      return action();
    } catch (err) {
      if (!(err instanceof TemplateError)) throw err;
      cli.out.line();
      throw new ExitError(1, `template parsing error: ${err.message}`, { cause: err });
    }
  };
  let template: ReturnType<typeof compileTemplate>;
  try {
    template = compileTemplate(format, { missingKey: 'error', isOptional: isOptionalField });
  } catch (err) {
    if (!(err instanceof TemplateError)) throw err;
    throw new ExitError(64, `template parsing error: ${err.message}`, { cause: err });
  }
  return value => {
    rememberShapes(value);
    return `${guard(() => template.execute(value))}\n`;
  };
}

import type { Cli } from '../cli.ts';
import { ExitError } from '../errors.ts';

/**
 * Prints one object through a Go template or, for `json`, as JSON. Errors of the template have the words of the command that asked. `end`: what comes after it,
 * by default a new line.
 */
export async function printTemplate(cli: Cli, name: string, format: string, data: unknown, end = '\n'): Promise<void> {
  const [{ compileTemplate }, { TemplateError }] = await Promise.all([
    import('#base/template/evaluate.ts'),
    import('#base/template/node.ts'),
  ]);
  const compile = (): ReturnType<typeof compileTemplate> => {
    try {
      return compileTemplate(format === 'json' ? '{{json .}}' : format, { name });
    } catch (err) {
      throw err instanceof TemplateError ? new ExitError(64, `template parsing error: ${err.message}`, { cause: err }) : err;
    }
  };
  const template = compile();
  try {
    cli.out.write(`${template.execute(data)}${end}`);
  } catch (err) {
    if (!(err instanceof TemplateError)) throw err;
    if (end !== '') cli.out.line();
    throw new ExitError(1, err.message, { cause: err });
  }
}

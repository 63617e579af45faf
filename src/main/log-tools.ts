import { invalidArgument, messageOf } from '#base/errors.ts';
import { compileTemplate } from '#base/template/evaluate.ts';
import { Struct } from '#base/template/value.ts';
import { checkConfig, requireDriver } from '#host/logs/drivers.ts';

/** Executes the template of a `tag` log option. */
export function renderTag(template: string, fields: Readonly<Record<string, unknown>>): string {
  const getters = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, () => value]));
  return compileTemplate(template, { name: 'log-tag' }).execute(new Struct('*logger.Info', getters));
}

/** Where systemd's journal listens; a journal of another namespace has another place. */
export const journalSocket = (): string => process.env.BERTH_JOURNAL_SOCKET ?? '/run/systemd/journal/socket';

/** Rejects with InvalidArgument for a default logging driver that does not exist, or options that it does not have. */
export function checkDefaultLog(type: string, config: Readonly<Record<string, string>>): void {
  requireDriver(type);
  if (Object.keys(config).length === 0) return;
  try {
    checkConfig({ type, config });
  } catch (err) {
    throw invalidArgument(`failed to set log opts: ${messageOf(err)}`, { cause: err });
  }
}

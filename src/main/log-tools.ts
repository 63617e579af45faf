import { compileTemplate } from '#cli/template/evaluate.ts';
import { Struct } from '#cli/template/value.ts';

/** Executes the template of a `tag` log option. */
export function renderTag(template: string, fields: Readonly<Record<string, unknown>>): string {
  const getters = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, () => value]));
  return compileTemplate(template, { name: 'log-tag' }).execute(new Struct('*logger.Info', getters));
}

/** Where systemd's journal listens; a journal of another namespace has another place. */
export const journalSocket = (): string => process.env.BERTH_JOURNAL_SOCKET ?? '/run/systemd/journal/socket';

import type { ExactEvent } from '#client/system.ts';
import { defineCommand, noArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { filter, text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { toTimestamp } from '../../flags/moment.ts';
import { goTime } from '../../output/text.ts';

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['system events', 'events'],
  short: 'Show what happens at the daemon, as it happens',
  args: noArgs,
  flags: {
    filter: filter('Show only events that match, such as type=container', { short: 'f' }),
    format: text(formatUsage('object')),
    since: text('Show events from this moment on'),
    until: text('Show events up to this moment, and end'),
  },
  async run(cli, { flags }) {
    const { system } = await cli.client();
    const nowMs = Date.now();
    const events = await system.events({
      since: flags.since === '' ? undefined : toTimestamp(flags.since, '', nowMs),
      until: flags.until === '' ? undefined : toTimestamp(flags.until, '', nowMs),
      filters: flags.filter,
    });
    const render = await renderer(flags.format);
    for await (const event of events) cli.out.write(render(event));
  },
});

async function renderer(format: string): Promise<(event: ExactEvent) => string> {
  if (format === '') return describe;
  const [{ compileTemplate }, { TemplateError }] = await Promise.all([
    import('#base/template/evaluate.ts'),
    import('#base/template/node.ts'),
  ]);
  try {
    const template = compileTemplate(format === 'json' ? '{{json .}}' : format);
    return event => `${template.execute(templateView(event))}\n`;
  } catch (err) {
    throw err instanceof TemplateError ? new ExitError(64, `Error parsing format: ${err.message}`, { cause: err }) : err;
  }
}

/** Templates know the names that events had before they had types. */
function templateView(event: ExactEvent): Record<string, unknown> {
  const view: Record<string, unknown> = { ...event };
  for (const [name, value] of [
    ['Status', event.status],
    ['ID', event.id],
    ['From', event.from],
    ['Scope', event.scope],
    ['Time', event.time],
    ['TimeNano', event.timeNano],
  ] as const) {
    Object.defineProperty(view, name, { value: value ?? '', enumerable: false });
  }
  return view;
}

/** `2026-11-21T02:42:29.123456789Z container create <id> (image=busybox, name=c1)`. */
function describe(event: ExactEvent): string {
  const { Type, Action, Actor } = event;
  const attributes = Object.entries(Actor.Attributes ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .toSorted()
    .join(', ');
  return `${moment(event)} ${Type} ${Action} ${Actor.ID}${attributes === '' ? '' : ` (${attributes})`}\n`;
}

function moment({ time, timeNano }: ExactEvent): string {
  const [day = '', clock = '', zone = ''] = goTime(time * 1000).split(' ');
  const nanos = BigInt(timeNano) % 1_000_000_000n;
  return `${day}T${clock}.${String(nanos).padStart(9, '0')}${zone === '+0000' ? 'Z' : `${zone.slice(0, 3)}:${zone.slice(3)}`}`;
}

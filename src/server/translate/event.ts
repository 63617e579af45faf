import type { EngineEvent } from '#core/events.ts';

/** One line of the event stream. Nanoseconds are written digit by digit: they do not fit a number. */
export function formatEvent(event: EngineEvent): string {
  const { type, action, actorId, attributes, timeNano } = event;
  // Fields from before events had types; clients up to API 1.51 get them for the types of that time.
  const legacy =
    type === 'container'
      ? { status: action, ...unlessEmpty('id', actorId), ...unlessEmpty('from', attributes['image']) }
      : type === 'image'
        ? { status: action, ...unlessEmpty('id', actorId) }
        : {};
  const message = JSON.stringify({
    ...legacy,
    Type: type,
    Action: action,
    Actor: { ID: actorId, Attributes: attributes },
    scope: 'local',
    time: Number(timeNano / 1_000_000_000n),
  });
  return `${message.slice(0, -1)},"timeNano":${timeNano}}\n`;
}

const unlessEmpty = (key: string, value = ''): Readonly<Record<string, string>> => (value === '' ? {} : { [key]: value });

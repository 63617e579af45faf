import type { EngineEvent } from '#core/events.ts';

/** Key → accepted values. Different keys must all match, of one key's values one; of labels all. A key without values accepts everything. */
export type Filters = ReadonlyMap<string, readonly string[]>;

/** Actions that carry more after a colon. Where one of them is wanted, the beginning of an action is enough. */
const actionsWithDetail = ['exec_create', 'exec_start', 'health_status'];

/** Filters that compare the object's id and name, also by how they begin. */
const objectKeys = ['container', 'daemon', 'network', 'plugin', 'volume', 'node', 'service', 'secret', 'config'];

export function matchesEvent(event: EngineEvent, filters: Filters): boolean {
  for (const [key, values] of filters) {
    if (values.length > 0 && !matchesKey(event, key, values)) return false;
  }
  return true;
}

function matchesKey(event: EngineEvent, key: string, values: readonly string[]): boolean {
  if (key === 'type') return values.includes(event.type);
  if (key === 'event') return matchesAction(event.action, values);
  if (key === 'scope') return values.includes('local');
  if (key === 'label') return values.every(value => matchesLabel(event.attributes, value));
  if (key === 'image') return matchesImage(event, values);
  if (!objectKeys.includes(key)) return true;
  const name = event.attributes['name'] ?? '';
  return values.some(value => event.actorId.startsWith(value) || (name !== '' && name.startsWith(value)));
}

function matchesAction(action: string, wanted: readonly string[]): boolean {
  if (!wanted.some(value => actionsWithDetail.includes(value))) return wanted.includes(action);
  return wanted.some(value => action.startsWith(value));
}

function matchesLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const equals = wanted.indexOf('=');
  if (equals === -1) return Object.hasOwn(labels, wanted);
  const key = wanted.slice(0, equals);
  return Object.hasOwn(labels, key) && labels[key] === wanted.slice(equals + 1);
}

function matchesImage(event: EngineEvent, values: readonly string[]): boolean {
  const name = event.attributes[event.type === 'image' ? 'name' : 'image'] ?? '';
  const known = [event.actorId, name, withoutTag(event.actorId), withoutTag(name)];
  return values.some(value => known.includes(value));
}

/** A colon before the last slash belongs to the registry's port. */
const withoutTag = (reference: string): string => reference.replace(/:[^:/]*$/, '');

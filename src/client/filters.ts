/** Filter name to the values asked for. */
export type Filters = Readonly<Record<string, readonly string[]>>;

/** The `filters` query parameter, or undefined when there are none. */
export function encodeFilters(filters: Filters | undefined): string | undefined {
  if (filters === undefined || Object.keys(filters).length === 0) return undefined;
  const wire: Record<string, Record<string, true>> = {};
  for (const [name, values] of Object.entries(filters)) wire[name] = Object.fromEntries(values.map(value => [value, true]));
  return JSON.stringify(wire);
}

import { Struct } from '#base/template/value.ts';

/**
 * An object whose missing fields are errors of the Go type with this name. JSON shows the fields in their order, but leaves out functions, and `omitted`
 * ones when they are empty.
 */
export function structOf(typeName: string, values: Readonly<Record<string, unknown>>, omitted: readonly string[] = []): Struct {
  const fields: Record<string, () => unknown> = {};
  for (const [name, value] of Object.entries(values)) fields[name] = typeof value === 'function' ? (value as () => unknown) : () => value;
  const struct = new Struct(typeName, fields);
  struct.toJSON = () =>
    Object.fromEntries(
      Object.entries(values).filter(
        ([name, value]) => typeof value !== 'function' && !(omitted.includes(name) && (value === null || value === '' || value === false)),
      ),
    );
  return struct;
}

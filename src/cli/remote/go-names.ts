import { Struct } from '#base/template/value.ts';

const special: Readonly<Record<string, string>> = { os: 'OS', urls: 'URLs', 'os.version': 'OSVersion', 'os.features': 'OSFeatures' };

/** JSON of a registry for templates: a dot reaches `mediaType` as `.MediaType`; `json` shows it as it is. Keys of annotations and labels stay. */
export function withGoNames(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withGoNames);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.fromEntries(
    Object.entries(value).map(([name, inner]): [string, () => unknown] => [
      special[name] ?? `${name.slice(0, 1).toUpperCase()}${name.slice(1)}`,
      () => (/^(annotations|labels)$/i.test(name) ? inner : withGoNames(inner)),
    ]),
  );
  const struct = new Struct('struct', fields);
  struct.toJSON = () => value as Record<string, unknown>;
  return struct;
}

/**
 * What JSON does not tell of the types behind it, as far as templates show it: a struct prints as its values in their order, a missing list as `[]`, a
 * missing map as `map[]`, a missing pointer as `<nil>`.
 */
export type Shape =
  | { readonly kind: 'list' | 'map'; readonly of?: Shape | undefined }
  | { readonly kind: 'pointer'; readonly to?: Shape | undefined }
  /** One that is not complete prints as a map. */
  | { readonly kind: 'struct'; readonly fields: ShapeFields; readonly complete: boolean };

export type ShapeFields = Readonly<Record<string, Shape | undefined>>;

interface Known {
  readonly shape: Shape;
  readonly otherNames: Readonly<Record<string, string>>;
}

const known = new WeakMap<object, Known>();

/** Remembers the types of a value and of everything in it. `otherNames`: those that templates may use for fields which JSON spells otherwise. */
export function rememberShape(value: unknown, shape: Shape | undefined, otherNames: Readonly<Record<string, string>>): void {
  if (shape?.kind === 'pointer') {
    rememberShape(value, shape.to, otherNames);
    return;
  }
  if (shape === undefined || typeof value !== 'object' || value === null) return;
  known.set(value, { shape, otherNames });
  for (const [key, inner] of Object.entries(value)) {
    rememberShape(inner, shape.kind === 'struct' ? shape.fields[key] : shape.of, otherNames);
  }
}

/** The fields of a struct in their order; undefined for what prints as JSON says. */
export function structFields(value: object): readonly string[] | undefined {
  const shape = known.get(value)?.shape;
  return shape?.kind === 'struct' && shape.complete ? Object.keys(shape.fields) : undefined;
}

/** What a field that JSON leaves out or calls null stands for: an empty list or map, or null for a pointer; undefined when that is not known. */
export function zeroOf(owner: object, field: string): readonly unknown[] | object | null | undefined {
  const shape = known.get(owner)?.shape;
  const inner = shape?.kind === 'struct' ? shape.fields[field] : undefined;
  switch (inner?.kind) {
    case 'list':
      return [];
    case 'map':
      return {};
    case 'pointer':
      return null;
    default:
      return undefined;
  }
}

/** The name of a field in JSON for the one in a template. */
export function wireName(owner: object, field: string): string {
  const otherNames = known.get(owner)?.otherNames ?? {};
  const other = !Object.hasOwn(owner, field) && Object.hasOwn(otherNames, field) ? otherNames[field] : undefined;
  return other !== undefined && Object.hasOwn(owner, other) ? other : field;
}

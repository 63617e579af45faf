import type { Attributes } from '#api/buildkit/messages.ts';

const userInfo = /(\b[a-z][a-z0-9+.-]*:\/\/)[^/\s@"]+@/gi;

/** A text whose URLs let nobody in. */
export const withoutUserInfo = (text: string): string => text.replace(userInfo, '$1');

/** What a cache elsewhere is known by; the rest is how to get at it. */
const harmless = new Set(['ref', 'scope', 'src', 'dest', 'mode', 'digest', 'type', 'name']);

/** Options as they can be kept and shown: no URL in them lets anybody in, and of caches there is only what they are known by. */
export function withoutCredentials(options: Attributes): Attributes {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => [name, withoutUserInfo(name === 'cache-imports' ? harmlessImports(value) : value)]),
  );
}

function harmlessImports(text: string): string {
  try {
    const imports = JSON.parse(text) as readonly { readonly Type?: string; readonly Attrs?: Attributes }[];
    return JSON.stringify(
      imports.map(({ Type, Attrs = {} }) => ({
        Type,
        Attrs: Object.fromEntries(Object.entries(Attrs).filter(([key]) => harmless.has(key))),
      })),
    );
  } catch {
    return '';
  }
}

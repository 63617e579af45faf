/**
 * A random object id: 32 bytes as 64 hexadecimal digits. Made again while its short form is all digits, because a short id that reads as a
 * number would be taken for one (Engine API: container, exec and network ids).
 */
export function newId(): string {
  for (;;) {
    const id = crypto.getRandomValues(new Uint8Array(32)).toHex();
    if (!/^\d{12}/.test(id)) return id;
  }
}

/** The form people see: the first 12 digits, of a digest those after `sha256:`. */
export const shortId = (id: string): string => id.replace(/^sha256:/, '').slice(0, 12);

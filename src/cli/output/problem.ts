import { messageOf } from '#base/errors.ts';

/** What an error says, for people: `open /x: no such file or directory`, where the runtime says `ENOENT: no such file or directory, open '/x'`. */
export function problem(err: unknown): string {
  const text = messageOf(err);
  const [, reason, call, path] = /^E[A-Z0-9]+: (.+), ([a-z]+)(?: '(.*)')?$/s.exec(text) ?? [];
  if (reason === undefined || call === undefined) return text;
  return path === undefined ? `${call}: ${reason}` : `${call} ${path}: ${reason}`;
}

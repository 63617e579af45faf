import { invalidArgument } from '#base/errors.ts';

/**
 * The mode that `--chmod` makes of one: octal digits, or what chmod(1) takes, such as `u=rwX,go=rX`. Undefined leaves it as it is. Rejects with
 * InvalidArgument.
 */
export function changedMode(change: string | undefined, mode: number, isDirectory: boolean): number {
  if (change === undefined) return mode;
  if (/^0?[0-7]{1,4}$/.test(change)) return Number.parseInt(change, 8);
  return change.split(',').reduce((current, clause) => applyClause(change, clause, current, isDirectory), mode);
}

const places = { u: 6, g: 3, o: 0 } as const;

function applyClause(change: string, clause: string, mode: number, isDirectory: boolean): number {
  const match = /^([ugoa]*)((?:[-+=][rwxXstugo]*)+)$/.exec(clause);
  if (match?.[2] === undefined) throw invalidArgument(`invalid chmod parameter: '${change}'. it should be octal string or symbolic mode`);
  const named = match[1] === '' || match[1]?.includes('a') === true ? 'ugo' : (match[1] ?? '');
  const who = [...new Set(named)] as (keyof typeof places)[];
  let current = mode;
  for (const [, operator = '', what = ''] of match[2].matchAll(/([-+=])([rwxXstugo]*)/g)) {
    const before = current;
    for (const each of who) {
      const bits = bitsOf(what, each, before, isDirectory);
      const whole = (7 << places[each]) | (each === 'u' ? 0o4000 : each === 'g' ? 0o2000 : 0);
      if (operator === '+') current |= bits;
      else if (operator === '-') current &= ~bits;
      else current = (current & ~whole) | bits;
    }
    if (what.includes('t')) current = operator === '-' ? current & ~0o1000 : current | 0o1000;
  }
  return current;
}

function bitsOf(what: string, who: keyof typeof places, mode: number, isDirectory: boolean): number {
  let bits = 0;
  let special = 0;
  for (const letter of what) {
    if (letter === 'r') bits |= 4;
    else if (letter === 'w') bits |= 2;
    else if (letter === 'x' || (letter === 'X' && (isDirectory || (mode & 0o111) !== 0))) bits |= 1;
    else if (letter === 's') special |= who === 'u' ? 0o4000 : who === 'g' ? 0o2000 : 0;
    else if (letter === 'u' || letter === 'g' || letter === 'o') bits |= (mode >> places[letter]) & 7;
  }
  return (bits << places[who]) | special;
}

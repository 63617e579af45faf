import { constants } from 'node:os';
import { invalidArgument } from './errors.ts';

const realTimeMin = 34;
const realTimeMax = 64;

const numbers: ReadonlyMap<string, number> = new Map<string, number>([
  ...Object.entries(constants.signals).map(([name, number]): [string, number] => [name.replace(/^SIG/, ''), number]),
  ['CLD', constants.signals.SIGCHLD],
  ['RTMIN', realTimeMin],
  ['RTMAX', realTimeMax],
]);

/** The number of a signal written as `SIGTERM`, `term`, `15` or `RTMIN+3`. Rejects with InvalidArgument `invalid signal: x`. */
export function parseSignal(text: string): number {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number >= 1 && number <= realTimeMax) return number;
    throw invalidArgument(`invalid signal: ${text}`);
  }
  const name = text.toUpperCase().replace(/^SIG/, '');
  const relative = /^(RTMIN\+|RTMAX-)(\d{1,2})$/.exec(name);
  const distance = Number(relative?.[2] ?? 0);
  const number = relative === null ? numbers.get(name) : relative[1] === 'RTMIN+' ? realTimeMin + distance : realTimeMax - distance;
  if (number === undefined || number < 1 || number > realTimeMax) throw invalidArgument(`invalid signal: ${text}`);
  return number;
}

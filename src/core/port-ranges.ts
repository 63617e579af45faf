import type { PortBinding, PortMap, Protocol } from './network.ts';

/**
 * Ports that follow each other are one entry wherever Berth keeps or hands them on, written as users write them: `20000-24999/tcp`. A client sees them
 * one by one.
 */
export interface PortRange {
  readonly protocol: Protocol;
  readonly first: number;
  readonly last: number;
}

interface Numbers {
  readonly first: number;
  readonly last: number;
}

const highest = 65_535;

/** Of `80/tcp` or `20000-24999/udp`; undefined when the text is neither. */
export function parsePortRange(text: string): PortRange | undefined {
  const slash = text.indexOf('/');
  const protocol = text.slice(slash + 1);
  const numbers = slash < 0 ? undefined : parseNumbers(text.slice(0, slash));
  if (numbers === undefined || (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp')) return undefined;
  return { protocol, ...numbers };
}

/** Of `80` or `8000-8010`; undefined when the text is neither. */
export function parseNumbers(text: string): Numbers | undefined {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) return undefined;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return last > highest || first > last ? undefined : { first, last };
}

export const formatNumbers = (first: number, last: number): string => (first === last ? String(first) : `${String(first)}-${String(last)}`);

export const formatPortRange = ({ protocol, first, last }: PortRange): string => `${formatNumbers(first, last)}/${protocol}`;

/** Puts together what follows each other. What is no port stays as it is. */
export function compactPorts(ports: readonly string[]): string[] {
  if (ports.length < 2) return [...ports];
  const { ranges, others } = parsed(ports, port => port);
  const runs: PortRange[] = [];
  for (const { range } of ranges) {
    const before = runs.at(-1);
    if (before?.protocol !== range.protocol || range.first > before.last + 1) runs.push(range);
    else if (range.last > before.last) runs[runs.length - 1] = { ...before, last: range.last };
  }
  return [...others, ...runs.map(formatPortRange)];
}

/** One by one. */
export const expandPorts = (ports: readonly string[]): string[] =>
  ports.flatMap(port => {
    const range = parsePortRange(port);
    if (range === undefined || range.first === range.last) return [port];
    return Array.from({ length: range.last - range.first + 1 }, (_, i) => `${String(range.first + i)}/${range.protocol}`);
  });

/**
 * Puts together ports that follow each other and are published at ports that do, or at any. One port that is published at any of a range stays alone:
 * of several the first belongs to the first.
 */
export function compactPortMap(map: PortMap): PortMap {
  const entries = Object.entries(map);
  if (entries.length < 2) return map;
  const { ranges, others } = parsed(entries, ([port]) => port);
  const runs: Run[] = [];
  for (const { range, item } of ranges) {
    const run = { ...range, sides: item[1].map(sideOf) };
    const before = runs.at(-1);
    if (before === undefined || !continues(before, run)) runs.push(run);
    else {
      before.last = run.last;
      for (const [index, side] of before.sides.entries()) side.last = run.sides[index]?.last ?? side.last;
    }
  }
  return Object.fromEntries([...others, ...runs.map(run => [formatPortRange(run), run.sides.map(bindingOf)] as const)]);
}

/** A range and where it is published, in numbers. */
interface Run {
  readonly protocol: Protocol;
  readonly first: number;
  last: number;
  readonly sides: Side[];
}

interface Side {
  readonly binding: PortBinding;
  /** 0: any. */
  readonly first: number;
  last: number;
}

function sideOf(binding: PortBinding): Side {
  const numbers = parseNumbers(binding.hostPort);
  return { binding, first: numbers?.first ?? 0, last: numbers?.last ?? 0 };
}

const bindingOf = ({ binding, first, last }: Side): PortBinding =>
  first === 0 ? binding : { hostIp: binding.hostIp, hostPort: formatNumbers(first, last) };

function continues(run: Run, next: Run): boolean {
  if (run.protocol !== next.protocol || next.first !== run.last + 1 || run.sides.length !== next.sides.length) return false;
  return run.sides.every((side, index) => {
    const other = next.sides[index];
    if (other === undefined || other.binding.hostIp !== side.binding.hostIp) return false;
    if (side.first === 0 || other.first === 0) return side.binding.hostPort === other.binding.hostPort;
    return other.first === side.last + 1 && sizeOf(side) === sizeOf(run) && sizeOf(other) === sizeOf(next);
  });
}

/** One by one. */
export function expandPortMap(map: PortMap): PortMap {
  const expanded: Record<string, readonly PortBinding[]> = {};
  for (const [port, bindings] of Object.entries(map)) {
    const range = parsePortRange(port);
    if (range === undefined || range.first === range.last) {
      expanded[port] = bindings;
      continue;
    }
    const sides = bindings.map(({ hostIp, hostPort }) => ({ hostIp, hostPort, first: parseNumbers(hostPort)?.first }));
    for (let inside = range.first; inside <= range.last; inside += 1) {
      expanded[`${String(inside)}/${range.protocol}`] = sides.map(({ hostIp, hostPort, first }) => ({
        hostIp,
        hostPort: first === undefined || first === 0 ? hostPort : String(first + inside - range.first),
      }));
    }
  }
  return expanded;
}

/** By protocol and number. */
function parsed<T>(items: readonly T[], textOf: (item: T) => string): { ranges: { range: PortRange; item: T }[]; others: T[] } {
  const ranges: { range: PortRange; item: T }[] = [];
  const others: T[] = [];
  for (const item of items) {
    const range = parsePortRange(textOf(item));
    if (range === undefined) others.push(item);
    else ranges.push({ range, item });
  }
  const order = (a: PortRange, b: PortRange): number => (a.protocol === b.protocol ? a.first - b.first : a.protocol < b.protocol ? -1 : 1);
  if (ranges.some(({ range }, index) => index > 0 && order(ranges[index - 1]?.range ?? range, range) > 0))
    ranges.sort((a, b) => order(a.range, b.range));
  return { ranges, others };
}

const sizeOf = ({ first, last }: Numbers): number => last - first + 1;

import type { PortBinding, PortMap, SandboxRequest } from '#core/network.ts';
import { formatNumbers, formatPortRange, type PortRange, parsePortRange } from '#core/port-ranges.ts';
import type { PublishedPorts } from './model.ts';

interface Span extends PortRange {
  /** Undefined: exposed only. */
  readonly published: PublishedPorts | undefined;
}

/** As inspect shows them: published ports with what was chosen, the other exposed ones with nothing. Each port is in one entry. */
export function portMapOf(request: SandboxRequest, ports: readonly PublishedPorts[]): PortMap {
  const exposed = [...request.exposedPorts, ...Object.keys(request.portBindings)].flatMap(key => parsePortRange(key) ?? []);
  const spans: Span[] = [
    ...exposed.map(range => ({ ...range, published: undefined })),
    ...ports.map(published => {
      const { protocol, containerPort: first, count } = published;
      return { protocol, first, last: first + count - 1, published };
    }),
  ];
  const map: Record<string, PortBinding[]> = {};
  for (const protocol of ['tcp', 'udp', 'sctp'] as const) {
    for (const [range, covering] of segmentsOf(spans.filter(span => span.protocol === protocol))) {
      map[formatPortRange({ protocol, ...range })] = covering.flatMap(({ published }) =>
        published === undefined ? [] : [bindingOf(published, range.first, range.last)],
      );
    }
  }
  return map;
}

function bindingOf({ containerPort, hostIp, hostPort }: PublishedPorts, first: number, last: number): PortBinding {
  const shift = hostPort - containerPort;
  return { hostIp, hostPort: hostPort === 0 ? '' : formatNumbers(first + shift, last + shift) };
}

/** Cuts spans that overlap where one begins or ends: each piece with all that cover it, in the order given. */
function segmentsOf(spans: readonly Span[]): [range: { first: number; last: number }, covering: Span[]][] {
  const waiting = spans.map((span, order) => ({ span, order })).toSorted((a, b) => a.span.first - b.span.first);
  const cuts = [...new Set(spans.flatMap(({ first, last }) => [first, last + 1]))].toSorted((a, b) => a - b);
  const segments: [{ first: number; last: number }, Span[]][] = [];
  let active: typeof waiting = [];
  let next = 0;
  for (const [index, first] of cuts.entries()) {
    active = active.filter(({ span }) => span.last >= first);
    for (let one = waiting[next]; one !== undefined && one.span.first <= first; one = waiting[next]) {
      active.push(one);
      next += 1;
    }
    const after = cuts[index + 1];
    if (active.length === 0 || after === undefined) continue;
    const covering = active.toSorted((a, b) => a.order - b.order).map(({ span }) => span);
    segments.push([{ first, last: after - 1 }, covering]);
  }
  return segments;
}

import type { ListView } from '../../output/list.ts';
import { idText } from '../../output/text.ts';
import { binarySize, humanSize } from '../../output/units.ts';
import type { UsageRow } from './usage-board.ts';
import type { UsageFigures } from './usage-figures.ts';

const unknown = '--';
const percent = (value: number): string => `${value.toFixed(2)}%`;
const known =
  (show: (figures: UsageFigures) => string, otherwise = unknown) =>
  ({ figures }: UsageRow): string =>
    figures === undefined ? otherwise : show(figures);

export function usageView(truncated: boolean): ListView<UsageRow> {
  return {
    typeName: '*container.statsContext',
    headers: {
      Container: 'CONTAINER',
      Name: 'NAME',
      ID: 'CONTAINER ID',
      CPUPerc: 'CPU %',
      MemUsage: 'MEM USAGE / LIMIT',
      MemPerc: 'MEM %',
      NetIO: 'NET I/O',
      BlockIO: 'BLOCK I/O',
      PIDs: 'PIDS',
    },
    columns: ['ID', 'Name', 'CPUPerc', 'MemUsage', 'MemPerc', 'NetIO', 'BlockIO', 'PIDs'],
    fields: {
      BlockIO: known(({ readBytes, writtenBytes }) => `${humanSize(readBytes, 3)} / ${humanSize(writtenBytes, 3)}`),
      CPUPerc: known(({ cpuPercent }) => percent(cpuPercent)),
      Container: row => row.container,
      ID: row => idText(row.id, truncated),
      MemPerc: known(({ memoryPercent }) => percent(memoryPercent)),
      MemUsage: known(
        ({ memoryBytes, memoryLimitBytes }) => `${binarySize(memoryBytes)} / ${binarySize(memoryLimitBytes)}`,
        `${unknown} / ${unknown}`,
      ),
      Name: row => (row.name === '' ? unknown : row.name.replace(/^\//, '')),
      NetIO: known(({ receivedBytes, sentBytes }) => `${humanSize(receivedBytes, 3)} / ${humanSize(sentBytes, 3)}`),
      PIDs: known(({ processes }) => String(processes)),
    },
  };
}

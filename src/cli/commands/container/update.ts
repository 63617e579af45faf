import type { ContainerUpdateRequest } from '#api/types/container.ts';
import { messageOf } from '#base/errors.ts';
import { defineCommand, minArgs } from '../../command.ts';
import { parseRestartPolicy } from '../../container-options/request.ts';
import { ExitError } from '../../errors.ts';
import { int64, text, uint16 } from '../../flags/flag.ts';
import { bytes, cpus, swapBytes } from '../../flags/units.ts';

const flags = {
  'blkio-weight': uint16('Share of block I/O, 10 to 1000; 0 is no share of its own'),
  'cpu-period': int64("Length of the scheduler's period, in microseconds"),
  'cpu-quota': int64("Processor time in each of the scheduler's periods, in microseconds"),
  'cpu-rt-period': int64('Length of the real-time period, in microseconds', { requires: { since: '1.25' } }),
  'cpu-rt-runtime': int64('Real-time processor time in each period, in microseconds', { requires: { since: '1.25' } }),
  'cpu-shares': int64('Share of processor time, relative to others', { short: 'c' }),
  cpus: cpus('Number of processors, such as 1.5', { requires: { since: '1.29' } }),
  'cpuset-cpus': text('Processors to run on (0-3, 0,1)'),
  'cpuset-mems': text('Memory nodes to use (0-3, 0,1)'),
  'kernel-memory': bytes('Limit of kernel memory', { hidden: true }),
  memory: bytes('Limit of memory', { short: 'm' }),
  'memory-reservation': bytes('Memory to leave it when memory is short'),
  'memory-swap': swapBytes('Limit of memory and swap together; -1 for no limit of swap'),
  'pids-limit': int64('Limit of processes; -1 for none', { requires: { since: '1.40' } }),
  restart: text('What to do when the container ends'),
};

export const command = defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  names: ['container update', 'update'],
  short: 'Change the limits of containers',
  args: minArgs(1),
  flags,
  async run(cli, { flags: given, args, changed }) {
    if (changed.size === 0) throw new ExitError(1, 'you must provide one or more flags when using this command');
    const request: ContainerUpdateRequest = {
      BlkioWeight: given['blkio-weight'],
      CpuShares: given['cpu-shares'],
      CpuPeriod: given['cpu-period'],
      CpuQuota: given['cpu-quota'],
      CpuRealtimePeriod: given['cpu-rt-period'],
      CpuRealtimeRuntime: given['cpu-rt-runtime'],
      CpusetCpus: given['cpuset-cpus'],
      CpusetMems: given['cpuset-mems'],
      Memory: given.memory,
      MemoryReservation: given['memory-reservation'],
      MemorySwap: given['memory-swap'],
      NanoCpus: given.cpus,
      ...(given['pids-limit'] === 0 ? {} : { PidsLimit: given['pids-limit'] }),
      RestartPolicy: parseRestartPolicy(given.restart),
    };
    const { containers } = await cli.client();
    const warnings: string[] = [];
    const failures: string[] = [];
    for (const id of args) {
      try {
        const { Warnings } = await containers.update(id, request);
        cli.out.line(id);
        warnings.push(...(Warnings ?? []));
      } catch (err) {
        failures.push(messageOf(err));
      }
    }
    for (const warning of warnings) cli.out.line(warning);
    if (failures.length > 0) throw new ExitError(1, failures.join('\n'));
  },
});

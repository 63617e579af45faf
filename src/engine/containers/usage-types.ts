import type { Count, CpuUsage, ResourceUsage, UsageMeter } from '#core/usage.ts';

/** One look at what a container uses. */
export interface UsageSample {
  readonly readAt: Date;
  readonly usage: ResourceUsage;
  readonly system: { readonly cpuNs: Count; readonly onlineCpus: number };
  readonly interfaces: ReturnType<UsageMeter['interfaces']>;
}

export interface UsageReport {
  readonly id: string;
  readonly name: string;
  /** Undefined while it does not run. */
  readonly sample: UsageSample | undefined;
  /** Of the sample before, to tell differences by. */
  readonly previous: PreviousSample | undefined;
}

export type PreviousSample = Pick<UsageSample, 'readAt' | 'system'> & { readonly cpu: CpuUsage };

export interface UsageOptions {
  /** One report a second until the container is removed, instead of one. */
  readonly stream: boolean;
  /** A single report does without a sample before it, which takes a second. */
  readonly oneShot: boolean;
}

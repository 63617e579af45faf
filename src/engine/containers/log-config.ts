import type { LogConfig } from '#core/logs.ts';

const copyOption = /^cache-/;

/**
 * A container's driver and options with what the daemon says for those that do not: the default driver, its options for containers that use it, and the options
 * of the local copy for all. What the container says itself goes first.
 */
export function mergeLogConfig(asked: LogConfig, byDefault: LogConfig): LogConfig {
  const type = asked.type === '' ? byDefault.type : asked.type;
  const added = Object.entries(byDefault.config).filter(([name]) => type === byDefault.type || (type !== 'none' && copyOption.test(name)));
  return { type, config: { ...Object.fromEntries(added), ...asked.config } };
}

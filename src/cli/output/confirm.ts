import type { Filters } from '#client/filters.ts';
import type { Cli } from '../cli.ts';
import { readLine } from '../streams/read-line.ts';

/** Asks before something is lost. Anything but a clear yes is no. */
export async function confirm(cli: Cli, warning: string): Promise<boolean> {
  cli.out.write(`${warning}\nAre you sure you want to continue? [y/N] `);
  const answer = (await readLine(cli)).trim().toLowerCase();
  return answer === 'y' || answer === 'yes';
}

/** The filters given, and those that the settings add to every prune. */
export async function pruneFilters(cli: Cli, given: Filters): Promise<Filters> {
  const merged: Record<string, readonly string[]> = { ...given };
  for (const entry of (await cli.config()).values.pruneFilters ?? []) {
    const at = entry.indexOf('=');
    const [key, value] = at < 0 ? [entry, ''] : [entry.slice(0, at), entry.slice(at + 1)];
    // What the command line says about a label wins over the opposite in the settings.
    const opposite = key === 'label' ? 'label!' : key === 'label!' ? 'label' : undefined;
    if (opposite !== undefined && given[opposite]?.includes(value) === true) continue;
    merged[key] = [...(merged[key] ?? []), value];
  }
  return merged;
}

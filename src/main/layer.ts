import { layerChild } from '#host/snapshots/layer-tar/child.ts';

/** `internal-layer <assemble|check> <directory> <parent pid> [recipe] [packed] [whole]`: see layerChild. */
export function main(argv: readonly string[]): void {
  const [kind, directory, parent, ...flags] = argv;
  if ((kind !== 'assemble' && kind !== 'check') || directory === undefined || parent === undefined) {
    throw new Error('usage: internal-layer <assemble|check> <directory> <parent pid> [recipe] [packed] [whole]');
  }
  const common = { directory, parentPid: Number(parent) };
  process.exit(
    layerChild(
      kind === 'assemble'
        ? { kind, ...common }
        : { kind, ...common, hasRecipe: flags.includes('recipe'), isPacked: flags.includes('packed'), isWhole: flags.includes('whole') },
    ),
  );
}

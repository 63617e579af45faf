import type { StoreDamage, VerifiedStore } from '#api/types/store.ts';
import { kindOf } from '#base/errors.ts';
import { defineCommand, noArgs } from '../../command.ts';
import { registryConfigOf } from '../../config/registry-auth.ts';
import { ExitError } from '../../errors.ts';
import { bool, text } from '../../flags/flag.ts';
import { formatUsage } from '../../flags/format.ts';
import { showProgress } from '../../output/progress.ts';
import { printTemplate } from '../../output/template-output.ts';
import { humanSize } from '../../output/units.ts';

export const command = defineCommand({
  usage: '[OPTIONS]',
  names: ['system verify'],
  short: 'Look for damage in images and heal it',
  long: `Compare everything that is stored of images with its digest: blobs with their own, unpacked layers with their diff ids. What is
damaged is pulled again from where it came, or made again of what is sound. The exit code is 1 when damage remains, 0 otherwise.`,
  args: noArgs,
  flags: {
    'dry-run': bool('Only look, heal nothing'),
    format: text(formatUsage('object'), { short: 'f' }),
    quiet: bool('Show no progress', { short: 'q' }),
  },
  async run(cli, { flags }) {
    const { system } = await cli.client();
    let report: VerifiedStore | undefined;
    // What is to be read by a program has stdout to itself.
    const out = flags.quiet ? undefined : flags.format === '' ? cli.out : cli.err;
    try {
      const messages = await system.verify({ heal: !flags['dry-run'], registryConfig: await registryConfigOf(cli) });
      await showProgress(messages, out?.isTerminal === true ? out : undefined, aux => (report = aux as VerifiedStore));
    } catch (err) {
      if (kindOf(err) !== 'NotFound') throw err;
      throw new ExitError(1, 'this daemon cannot verify its store: only the daemon of Berth can', { cause: err });
    }
    if (report === undefined) throw new ExitError(1, 'the daemon ended before it had looked at everything');
    if (flags.format === '') cli.out.write(describe(report));
    else await printTemplate(cli, 'verify', flags.format, report);
    return report.Damage.some(damage => !damage.Healed) ? 1 : 0;
  },
});

function describe({ Blobs, Layers, Bytes, Damage }: VerifiedStore): string {
  const remaining = Damage.filter(damage => !damage.Healed).length;
  const outcome = Damage.length === 0 ? 'nothing is damaged' : `${Damage.length} damaged, ${Damage.length - remaining} healed`;
  return `${Damage.map(describeDamage).join('')}Verified ${Blobs} blobs and ${Layers} layers, ${humanSize(Bytes)}: ${outcome}\n`;
}

function describeDamage({ Kind, Id, Found, Images, Healed, Note, Containers }: StoreDamage): string {
  const lines = [`${Kind} ${Id}${Images.length === 0 ? '' : ` of ${Images.join(', ')}`}`, ...Found.map(found => `  ${found}`)];
  lines.push(`  ${Healed ? 'healed' : 'NOT HEALED'}: ${Note}`);
  if (Containers.length > 0) lines.push(`  restart what runs on the damaged copy: ${Containers.map(id => id.slice(0, 12)).join(' ')}`);
  return `${lines.join('\n')}\n`;
}

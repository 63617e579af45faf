import { canonicalString } from '#oci/reference.ts';
import { defineCommand, exactArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { csvList, text } from '../../flags/flag.ts';
import { parseName } from '../../remote/remote-images.ts';
import { inOrder, type ListedPlatform, LocalLists } from './local-lists.ts';

export const command = defineCommand({
  usage: '[OPTIONS] MANIFEST_LIST MANIFEST',
  names: ['manifest annotate'],
  short: 'Say what an image of a list runs on',
  args: exactArgs(2),
  flags: {
    arch: text('Architecture, such as arm64'),
    os: text('Operating system, such as linux'),
    'os-features': csvList('Features that the operating system must have'),
    'os-version': text('Version of the operating system'),
    variant: text('Variant of the architecture, such as v8'),
  },
  async run(cli, { flags, args }) {
    const [list, name] = args.map(parseName);
    if (list === undefined || name === undefined) return;
    const lists = await LocalLists.open(cli);
    const image = lists.has(list) ? lists.image(list, name) : undefined;
    if (image === undefined)
      throw new ExitError(1, `manifest for image ${canonicalString(name)} does not exist in ${canonicalString(list)}`);
    const before = image.Descriptor.platform ?? { architecture: '', os: '' };
    const platform = inOrder({
      ...before,
      ...(flags.arch !== '' && { architecture: flags.arch }),
      ...(flags.os !== '' && { os: flags.os }),
      ...(flags.variant !== '' && { variant: flags.variant }),
      ...(flags['os-version'] !== '' && { 'os.version': flags['os-version'] }),
      ...(flags['os-features'].length > 0 && {
        'os.features': [...new Set([...(before['os.features'] ?? []), ...flags['os-features']])],
      }),
    });
    if (!isKnown(platform)) {
      throw new ExitError(1, `manifest entry for image has unsupported os/arch combination: ${platform.os}/${platform.architecture}`);
    }
    lists.save(list, name, { ...image, Descriptor: { ...image.Descriptor, platform } });
  },
});

// What Go's compiler makes programs for (`go tool dist list`), as far as images exist for it.
const architectures: Readonly<Record<string, readonly string[]>> = {
  linux: ['386', 'amd64', 'arm', 'arm64', 'loong64', 'mips', 'mips64', 'mips64le', 'mipsle', 'ppc64', 'ppc64le', 'riscv64', 's390x'],
  windows: ['386', 'amd64', 'arm', 'arm64'],
  darwin: ['386', 'amd64', 'arm', 'arm64'],
  freebsd: ['386', 'amd64', 'arm', 'arm64'],
  netbsd: ['386', 'amd64', 'arm'],
  openbsd: ['386', 'amd64', 'arm'],
  dragonfly: ['amd64'],
  plan9: ['386', 'amd64'],
  solaris: ['amd64'],
};

const isKnown = ({ os, architecture }: ListedPlatform): boolean => architectures[os]?.includes(architecture) ?? false;

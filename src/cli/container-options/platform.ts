import type { Platform } from '#api/types/common.ts';
import { ExitError } from '../errors.ts';

const architectures: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  'x86-64': 'amd64',
  aarch64: 'arm64',
  armhf: 'arm',
  armel: 'arm',
  i386: '386',
  i686: '386',
};

/** `os/architecture[/variant]`. */
export function parsePlatform(text: string): Platform {
  const [os = '', given = '', variant, ...more] = text.toLowerCase().split('/');
  if (os === '' || given === '' || more.length > 0)
    throw new ExitError(1, `invalid platform ${JSON.stringify(text)}: write os/architecture, such as linux/arm64`);
  const architecture = architectures[given] ?? given;
  return { os: os === 'macos' ? 'darwin' : os, architecture, ...(variant === undefined || variant === '' ? {} : { variant }) };
}

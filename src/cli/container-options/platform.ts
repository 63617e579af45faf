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

const component = /^[A-Za-z0-9_.-]+$/;

/** Rejects what no platform can be called, before anybody is asked to find an image for it. */
export function checkPlatform(text: string): void {
  const words = text.split('/');
  const parts = words.length > 4 ? [...words.slice(0, 3), words.slice(3).join('/')] : words;
  const wrong = parts.find(part => !component.test(part));
  if (wrong === undefined) return;
  throw new Error(
    `error parsing specified platform: ${JSON.stringify(wrong)} is an invalid component of ${JSON.stringify(text)}: platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument`,
  );
}

/** `os/architecture[/variant]`. */
export function parsePlatform(text: string): Platform {
  const [os = '', given = '', variant, ...more] = text.toLowerCase().split('/');
  if (os === '' || given === '' || more.length > 0)
    throw new ExitError(1, `invalid platform ${JSON.stringify(text)}: write os/architecture, such as linux/arm64`);
  const architecture = architectures[given] ?? given;
  return { os: os === 'macos' ? 'darwin' : os, architecture, ...(variant === undefined || variant === '' ? {} : { variant }) };
}

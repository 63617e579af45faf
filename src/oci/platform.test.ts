import { expect, test } from 'bun:test';
import { formatPlatform, hostPlatform, normalizePlatform, parsePlatform, platformRank, runnablePlatforms } from './platform.ts';

const amd64 = hostPlatform('x64');

test('hostPlatform() speaks the words of image indexes', () => {
  expect(hostPlatform('x64')).toEqual({ os: 'linux', architecture: 'amd64' });
  expect(hostPlatform('arm64')).toEqual({ os: 'linux', architecture: 'arm64' });
  expect(hostPlatform('arm')).toEqual({ os: 'linux', architecture: 'arm', variant: 'v7' });
});

test('parsePlatform() completes a lone part from the host', () => {
  expect(parsePlatform('linux', amd64)).toEqual(amd64);
  expect(parsePlatform('arm64', amd64)).toEqual({ os: 'linux', architecture: 'arm64' });
  expect(parsePlatform('linux/aarch64/v8', amd64)).toEqual({ os: 'linux', architecture: 'arm64' });
  expect(parsePlatform('linux/arm/6', amd64)).toEqual({ os: 'linux', architecture: 'arm', variant: 'v6' });
});

test('parsePlatform() names what it cannot read', () => {
  for (const text of ['', 'a/b/c/d', 'linux/', 'x y']) expect(() => parsePlatform(text, amd64)).toThrow(`invalid platform "${text}"`);
  expect(() => parsePlatform('toaster', amd64)).toThrow('unknown operating system or architecture');
});

test('normalizePlatform() drops default variants', () => {
  expect(formatPlatform(normalizePlatform({ os: 'Linux', architecture: 'armhf' }))).toBe('linux/arm/v7');
  expect(formatPlatform(normalizePlatform({ os: 'linux', architecture: 'x86_64', variant: 'v1' }))).toBe('linux/amd64');
  expect(formatPlatform(normalizePlatform({ os: 'linux', architecture: 'amd64', variant: 'v3' }))).toBe('linux/amd64/v3');
});

test('runnablePlatforms() goes from best to oldest', () => {
  expect(runnablePlatforms(hostPlatform('arm64')).map(formatPlatform)).toEqual([
    'linux/arm64',
    'linux/arm/v8',
    'linux/arm/v7',
    'linux/arm/v6',
    'linux/arm/v5',
  ]);
  expect(runnablePlatforms(parsePlatform('linux/amd64/v3', amd64)).map(formatPlatform)).toEqual([
    'linux/amd64/v3',
    'linux/amd64/v2',
    'linux/amd64',
    'linux/386',
  ]);
});

test('platformRank() says how well and whether at all', () => {
  expect(platformRank(amd64, amd64)).toBe(0);
  expect(platformRank(amd64, { os: 'linux', architecture: '386' })).toBe(1);
  expect(platformRank(amd64, { os: 'linux', architecture: 'arm64' })).toBeUndefined();
  expect(platformRank(amd64, { os: 'linux', architecture: 'amd64', variant: 'v3' })).toBeUndefined();
});

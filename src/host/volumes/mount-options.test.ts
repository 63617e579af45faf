import { describe, expect, test } from 'bun:test';
import { parseMountOptions } from './mount-options.ts';

describe('parseMountOptions()', () => {
  test.each([
    ['', { flags: 0n, propagation: 0n, data: [] }],
    ['bind,ro', { flags: 0x1001n, propagation: 0n, data: [] }],
    ['ro,rw,nosuid,suid,noexec', { flags: 0x8n, propagation: 0n, data: [] }],
    ['size=1m,uid=1000,nodev', { flags: 0x4n, propagation: 0n, data: ['size=1m', 'uid=1000'] }],
    ['addr=10.0.0.1,,nolock,soft', { flags: 0n, propagation: 0n, data: ['addr=10.0.0.1', 'nolock', 'soft'] }],
    ['strictatime,mand,nostrictatime,nomand', { flags: 0n, propagation: 0n, data: [] }],
    ['rbind,rslave', { flags: 0x5000n, propagation: 0x84000n, data: [] }],
  ])('%p', (text, options) => {
    expect(parseMountOptions(text)).toEqual(options);
  });
});

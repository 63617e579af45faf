import { chmodSync, copyFileSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'bun:test';
import { build } from '#test/helpers/build.ts';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { needs } from '#test/helpers/needs.ts';
import { run, runOk } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

const place = '/proc/sys/fs/binfmt_misc';
/** An ELF header of the machine's and nothing else (e_machine at 18: 0xf3 is RISC-V, which no machine of ours is). */
const riscv = Uint8Array.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, ...Array<number>(9).fill(0), 2, 0, 0xf3, 0, ...Array<number>(44).fill(0)]);
const magic = `BERTH-${String(process.pid)}-`;
const program = { entry: { name: 'program', mode: 0o755 } };
const dockerfile = {
  entry: { name: 'Dockerfile' },
  content: new TextEncoder().encode('FROM scratch\nCOPY program /\nRUN ["/program", "word"]\n'),
};

describe('programs of other machines in a build', () => {
  const daemon = sharedDaemon();

  test.skipIf(existsSync(join(place, 'qemu-riscv64')))('where nothing runs them, the error says what to install', async () => {
    const context = [dockerfile, { ...program, content: riscv }];
    const { error, errorCode } = await build(daemon().api, context, { platform: 'linux/riscv64' });
    expect(error).toContain('and the image is for linux/riscv64: install an emulator that the kernel knows (package qemu-user-static');
    expect(errorCode).not.toBe(0);
  });

  test('they run where the kernel knows an interpreter, which the image does not need to have', async () => {
    await using folder = await tempFolder();
    await using registered = await register(folder.path);
    if (!registered.isThere) return;
    const context = [dockerfile, { ...program, content: new TextEncoder().encode(`${magic}program`) }];
    const { error, text } = await build(daemon().api, context, { platform: 'linux/riscv64' });
    expect(error).toBeUndefined();
    expect(text).toMatch(/^\/program word$/m);
  });
});

/** Registers an interpreter for files that begin in a way of our own: busybox, called by a name with which it tells its arguments. */
async function register(folder: string): Promise<AsyncDisposable & { readonly isThere: boolean }> {
  await using undo = new AsyncDisposableStack();
  if (!existsSync(join(place, 'register'))) {
    const mounted = await run(['mount', '-t', 'binfmt_misc', 'binfmt_misc', place]);
    if (mounted.exitCode !== 0) return { isThere: false, [Symbol.asyncDispose]: () => Promise.resolve() };
    undo.defer(async () => void (await runOk(['umount', place])));
  }
  const interpreter = join(folder, 'echo');
  copyFileSync('/bin/busybox', interpreter);
  chmodSync(interpreter, 0o755);
  const name = `berth-test-${String(process.pid)}`;
  writeFileSync(join(place, 'register'), `:${name}:M::${magic}::${interpreter}:F`);
  undo.defer(() => writeFileSync(join(place, name), '-1'));
  const held = undo.move();
  return { isThere: true, [Symbol.asyncDispose]: () => held.disposeAsync() };
}

import { expect } from 'bun:test';
import { closeSync, copyFileSync, openSync, readFileSync, writeSync } from 'node:fs';
import { needs } from '#test/helpers/needs.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { run } from '#test/helpers/run.ts';
import { findProgram } from './oci-program.ts';

const { describe, test } = needs('root', 'crun');

describe('crun', () => {
  test('is executed from a copy in memory that nobody can change', async () => {
    const crun = await findProgram({ name: 'crun', path: 'crun', args: [] });
    expect(crun.executable()).not.toBe(crun.path);
    expect(readFileSync(crun.executable())).toEqual(readFileSync(crun.path));
    const writable = openSync(crun.executable(), 'r+');
    expect(() => writeSync(writable, 'x')).toThrow('EPERM');
    closeSync(writable);
    const version = await run([crun.executable(), '--version']);
    expect(version.stdout).toStartWith('crun version');
    expect(crun.executable()).toBe(crun.executable());
  });

  test('is copied anew when it was upgraded', async () => {
    await using folder = await tempFolder();
    const path = `${folder.path}/crun`;
    copyFileSync((await findProgram({ name: 'crun', path: 'crun', args: [] })).path, path);
    const crun = await findProgram({ name: 'other', path, args: [] });
    const before = readFileSync(crun.executable());
    writeSync(openSync(path, 'a'), 'newer');
    expect(readFileSync(crun.executable()).length).toBe(before.length + 5);
  });
});

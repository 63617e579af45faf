import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { silentLogger } from '#base/log.ts';
import type { RuntimeSpec } from '#oci/runtime-spec.ts';
import { unmet } from '#test/helpers/needs.ts';
import { type OpenedRuntime, openRuntime } from './runtime.ts';
import { makeRoot, specOf } from './test-bundle.ts';

const seccomp = (errnoRet: number) => ({
  defaultAction: 'SCMP_ACT_ALLOW',
  syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet }],
});

const lacks = unmet('root', 'conmon', 'crun') ?? (Bun.which('busybox') === null ? 'busybox is not installed' : undefined);
if (lacks !== undefined) console.log(`skipped here: compiled filters: ${lacks}`);

describe.skipIf(lacks !== undefined)('compiled filters', () => {
  let dir = '';
  let runtime: OpenedRuntime;

  beforeAll(async () => {
    dir = mkdtempSync('/tmp/berth-filters-');
    makeRoot(`${dir}/root`);
    runtime = await openRuntime({ execRoot: `${dir}/run`, cgroupParent: dir.slice('/tmp'.length), log: silentLogger });
  });
  afterAll(async () => {
    await runtime.close();
    rmSync(dir, { recursive: true });
  });

  /** Runs a command under a filter; returns its exit code, the annotation it was made with, and the filter it got. */
  async function run(id: string, errnoRet: number) {
    const base = specOf(`${dir}/root`, `${dir.slice('/tmp'.length)}/${id}`, [
      'sh',
      '-c',
      'exec 2>/dev/null; busybox mkdir /tmp/x && exit 1; exit 7',
    ]);
    const spec: RuntimeSpec = { ...base, linux: { ...base.linux, seccomp: seccomp(errnoRet) } };
    const io = { tty: false, stdin: false, keepStdinOpen: false };
    const { signal } = new AbortController();
    await runtime.create({ id, spec, runtime: { name: 'crun', path: 'crun', args: [] }, io, logPath: undefined }, signal);
    const config = JSON.parse(readFileSync(`${dir}/run/containers/${id}/config.json`, 'utf8')) as RuntimeSpec;
    const filter = readFileSync(`${dir}/run/runtime/crun/${id}/seccomp.bpf`).toString('base64');
    await runtime.start(id, signal);
    const { exitCode } = await runtime.wait({ containerId: id });
    await runtime.remove(id);
    return { exitCode, given: config.annotations?.['run.oci.seccomp_bpf_data'], filter };
  }

  test('a profile seen before is handed over compiled, and holds', async () => {
    const first = await run('first', 1);
    const second = await run('second', 1);
    expect(first).toMatchObject({ exitCode: 7, given: undefined });
    expect(first.filter).not.toBe('');
    expect(second).toEqual({ exitCode: 7, given: first.filter, filter: first.filter });
  });

  test('another profile is compiled anew', async () => {
    await run('third', 1);
    const other = await run('fourth', 2);
    expect(other.given).toBeUndefined();
    expect(other.exitCode).toBe(7);
  });
});

import { describe, expect, test } from 'bun:test';
import { defaultSeccomp, parseSeccompProfile, resolveSeccomp, type SeccompTarget } from './seccomp.ts';

const target = (more: Partial<SeccompTarget> = {}): SeccompTarget => ({
  capabilities: [],
  architecture: 'amd64',
  kernelVersion: '6.1.0',
  ...more,
});

describe('the built-in profile', () => {
  const allowed = (more: Partial<SeccompTarget> = {}): Set<string> =>
    new Set(
      defaultSeccomp(target(more))
        .syscalls.filter(rule => rule.action === 'SCMP_ACT_ALLOW' && rule.args === undefined)
        .flatMap(rule => rule.names),
    );

  test('lets ordinary calls through and refuses the rest with EPERM', () => {
    expect(defaultSeccomp(target())).toMatchObject({ defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 1 });
    const names = allowed();
    for (const name of ['read', 'openat', 'execve']) expect(names).toContain(name);
    for (const name of ['mount', 'unshare', 'setns', 'bpf', 'reboot', 'kexec_load', 'keyctl', 'add_key', 'init_module'])
      expect(names).not.toContain(name);
  });

  test('a capability opens the calls that need it', () => {
    const names = allowed({ capabilities: ['CAP_SYS_ADMIN'] });
    for (const name of ['mount', 'unshare', 'setns', 'clone', 'clone3']) expect(names).toContain(name);
  });

  test('clone3 does not exist without it: libraries then use clone, whose flags can be seen', () => {
    const rule = defaultSeccomp(target()).syscalls.find(each => each.names.includes('clone3'));
    expect(rule).toMatchObject({ action: 'SCMP_ACT_ERRNO', errnoRet: 38 });
  });

  test('is made once for each set of capabilities', () => {
    expect(defaultSeccomp(target())).toBe(defaultSeccomp(target()));
    expect(defaultSeccomp(target())).not.toBe(defaultSeccomp(target({ capabilities: ['CAP_SYS_ADMIN'] })));
  });

  test('names the architectures that this processor runs', () => {
    expect(defaultSeccomp(target()).architectures).toEqual(['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32']);
    expect(defaultSeccomp(target({ architecture: 'arm64' })).architectures).toEqual(['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM']);
  });
});

describe('a profile of one’s own', () => {
  const rules = (syscalls: readonly object[], more: Partial<SeccompTarget> = {}): string[] =>
    resolveSeccomp(parseSeccompProfile(JSON.stringify({ defaultAction: 'SCMP_ACT_ERRNO', syscalls })), target(more)).syscalls.flatMap(
      rule => rule.names,
    );
  const action = 'SCMP_ACT_ALLOW';

  test('rules for some capabilities', () => {
    const syscalls = [
      { names: ['a'], action, includes: { caps: ['CAP_KILL', 'CAP_CHOWN'] } },
      { names: ['b'], action, excludes: { caps: ['CAP_KILL'] } },
      { name: 'c', action },
    ];
    expect(rules(syscalls)).toEqual(['b', 'c']);
    expect(rules(syscalls, { capabilities: ['CAP_KILL'] })).toEqual(['c']);
    expect(rules(syscalls, { capabilities: ['CAP_KILL', 'CAP_CHOWN'] })).toEqual(['a', 'c']);
  });

  test('rules for some architectures and kernels', () => {
    const syscalls = [
      { names: ['a'], action, includes: { arches: ['arm64', 'arm'] } },
      { names: ['b'], action, excludes: { arches: ['amd64'] } },
      { names: ['c'], action, includes: { minKernel: '6.1' } },
      { names: ['d'], action, includes: { minKernel: '6.2' } },
      { names: ['e'], action, excludes: { minKernel: '4.8' } },
    ];
    expect(rules(syscalls)).toEqual(['c']);
    expect(rules(syscalls, { architecture: 'arm64', kernelVersion: '4.4.1' })).toEqual(['a', 'b', 'e']);
  });

  test('arguments, errno, flags and listed architectures are handed on', () => {
    const profile = parseSeccompProfile(
      JSON.stringify({
        defaultAction: 'SCMP_ACT_ALLOW',
        architectures: ['SCMP_ARCH_X86_64'],
        flags: ['SECCOMP_FILTER_FLAG_LOG'],
        syscalls: [{ names: ['a'], action: 'SCMP_ACT_ERRNO', errnoRet: 5, args: [{ index: 0, value: 1, op: 'SCMP_CMP_EQ' }] }],
      }),
    );
    expect(resolveSeccomp(profile, target())).toEqual({
      defaultAction: 'SCMP_ACT_ALLOW',
      architectures: ['SCMP_ARCH_X86_64'],
      flags: ['SECCOMP_FILTER_FLAG_LOG'],
      syscalls: [{ names: ['a'], action: 'SCMP_ACT_ERRNO', errnoRet: 5, args: [{ index: 0, value: 1, op: 'SCMP_CMP_EQ' }] }],
    });
  });

  test('what is no profile is refused', () => {
    const parse = (value: unknown) => (): unknown => parseSeccompProfile(typeof value === 'string' ? value : JSON.stringify(value));
    expect(parse('{')).toThrow('Decoding seccomp profile failed: ');
    expect(parse([])).toThrow('it must be an object with a defaultAction');
    expect(parse({ defaultAction: 'x', syscalls: [{ names: ['a'] }] })).toThrow('the rule for a has no action');
    expect(parse({ defaultAction: 'x', architectures: ['a'], archMap: [{ architecture: 'a' }] })).toThrow(
      "use either 'architectures' or 'archMap'",
    );
    expect(parse({ defaultAction: 'x', syscalls: [{ name: 'a', names: ['b'], action: 'y' }] })).toThrow("use either 'name' or 'names'");
  });
});

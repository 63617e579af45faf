import { describe, expect, test } from 'bun:test';
import { kindOf, messageOf } from '#base/errors.ts';
import type { ImageExecConfig } from '#oci/image-config.ts';
import { applyChanges } from './changes.ts';

const apply = (config: ImageExecConfig, ...lines: string[]) => applyChanges(config, lines, { os: 'linux', architecture: 'amd64' });

function refusalOf(...lines: string[]): string {
  try {
    apply({}, ...lines);
  } catch (err) {
    return `${kindOf(err)}: ${messageOf(err)}`;
  }
  return 'none';
}

describe('changes of a configuration', () => {
  test('variables have the values of the configuration and of earlier changes', () => {
    const base = { Env: ['HOME=/root', 'V=1'], WorkingDir: '/srv' };
    expect(
      apply(base, 'ENV PATH=/opt/$V:$HOME W=${V:-x}${NONE:-y}', 'WORKDIR $W', 'LABEL at=$W q="a b"', 'EXPOSE $V/udp', 'USER u$W'),
    ).toEqual({
      Env: ['HOME=/root', 'V=1', 'PATH=/opt/1:/root', 'W=1y'],
      WorkingDir: '/srv/1y',
      Labels: { at: '1y', q: 'a b' },
      ExposedPorts: { '1/udp': {} },
      User: 'u1y',
    });
  });

  test('several instructions in one text, with continuation lines and comments', () => {
    expect(apply({}, 'ENV a=1 \\\n  b=2\n# nothing\nVOLUME /v\nSTOPSIGNAL SIGINT', 'ONBUILD RUN echo $a')).toEqual({
      Env: ['a=1', 'b=2'],
      Volumes: { '/v': {} },
      StopSignal: 'SIGINT',
      OnBuild: ['RUN echo $a'],
    });
  });

  test('an entrypoint takes away a command that was meant for another one', () => {
    expect(apply({ Cmd: ['old'] }, 'ENTRYPOINT ["/new"]')).toEqual({ Entrypoint: ['/new'], Cmd: null });
    expect(apply({ Cmd: ['old'] }, 'CMD ["c"]', 'ENTRYPOINT ["/new"]')).toEqual({ Entrypoint: ['/new'], Cmd: ['c'] });
    expect(apply({ Shell: ['/bin/ash', '-c'] }, 'CMD echo $x')).toMatchObject({ Cmd: ['/bin/ash', '-c', 'echo $x'] });
  });

  test('health checks', () => {
    expect(apply({}, 'HEALTHCHECK --interval=5s --retries=2 CMD test -e /x').Healthcheck).toEqual({
      Test: ['CMD-SHELL', 'test -e /x'],
      Interval: 5_000_000_000,
      Retries: 2,
    });
  });

  test.each([
    ['RUN x', 'InvalidArgument: RUN is not a valid change command'],
    ['FROM x', 'InvalidArgument: FROM is not a valid change command'],
    ['FOO x', 'InvalidArgument: FOO is not a valid change command'],
    ['ENV x', 'InvalidArgument: ENV must have two arguments'],
    ['EXPOSE 99999', 'InvalidArgument: invalid containerPort: 99999'],
    ['STOPSIGNAL NOSUCH', 'InvalidArgument: invalid signal: NOSUCH'],
    ['ENV a=${b?}', 'InvalidArgument: '],
  ])('%s is refused', (line, refusal) => {
    expect(refusalOf(line)).toStartWith(refusal);
  });

  test('nothing changes nothing', () => {
    const config = { Env: ['a=1'], ArgsEscaped: true };
    expect(apply(config)).toBe(config);
  });
});

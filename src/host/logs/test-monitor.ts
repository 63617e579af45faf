import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
import type { LogConfig, LogSubject } from '#core/logs.ts';

/** A line as a monitor writes it. */
export const written = (second: number, stream: 'stdout' | 'stderr', tag: 'F' | 'P', text: string): string =>
  `2026-01-02T03:04:${String(second % 60).padStart(2, '0')}.000000005+00:00 ${stream} ${tag} ${text}\n`;

/** Does what a monitor does with its file. */
export class Monitor {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  write(second: number, tag: 'F' | 'P', text: string, stream: 'stdout' | 'stderr' = 'stdout'): void {
    appendFileSync(this.path, written(second, stream, tag, text));
  }

  /** Whole lines, in one write. */
  writeLines(lines: readonly string[]): void {
    appendFileSync(this.path, lines.map((line, at) => written(at, 'stdout', 'F', line)).join(''));
  }

  beginAnew(): void {
    writeFileSync(`${this.path}.tmp`, '');
    renameSync(`${this.path}.tmp`, this.path);
  }
}

export const someSubject = (logConfig: LogConfig): LogSubject => ({
  id: 'c',
  name: 'web',
  created: '2026-01-02T03:04:05Z',
  imageId: 'sha256:1234',
  imageName: 'busybox',
  entrypoint: 'sh',
  args: ['-c', 'x'],
  env: ['A=1', 'B=2'],
  labels: { part: 'one', other: 'x' },
  logConfig,
});

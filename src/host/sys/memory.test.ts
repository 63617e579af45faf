import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { releaseProgramPages, untouchedFileMappings } from './memory.ts';

const entry = (head: string, anonymousKb: number): string =>
  `${head}\nSize:  4 kB\nAnonymous:             ${String(anonymousKb)} kB\nVmFlags: rd mr mw me\n`;

test('takes read-only mappings of files, and none that was ever written to', () => {
  const smaps = [
    entry('00200000-01a39000 r--p 00000000 fe:00 123                        /usr/bin/berth', 0),
    entry('01a40000-0684a000 r-xp 01838000 fe:00 123                        /usr/bin/berth', 0),
    entry('06850000-06867000 r--p 0665e000 fe:00 123                        /usr/bin/berth', 92),
    entry('06867000-07020000 rw-p 0665e000 fe:00 123                        /usr/bin/berth', 0),
    entry('7f4fbd4d9000-7f4ffd4d9000 rwxp 00000000 00:00 0 ', 0),
    entry('7f4ffd9a0000-7f4ffd9a1000 r--s 00000000 fe:00 9                  /data/berth.db-shm', 0),
    entry('7ffdc4b55000-7ffdc4b57000 r-xp 00000000 00:00 0                  [vdso]', 0),
  ].join('');
  expect(untouchedFileMappings(smaps)).toEqual([
    { start: 0x200000, end: 0x1a39000 },
    { start: 0x1a40000, end: 0x684a000 },
  ]);
});

test('a process that let go of its program goes on', () => {
  const filePagesKb = () => Number(/^RssFile:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
  const before = filePagesKb();
  releaseProgramPages();
  expect(filePagesKb()).toBeLessThan(before);
});

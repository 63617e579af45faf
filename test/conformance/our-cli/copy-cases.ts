/**
 * Command lines that copy, each run in a place of its own: a folder `%f` with `file`, `dir/{a,sub/b}`, links `to-file`, `to-dir` and `nowhere`, and a
 * container `%c` with the same below `/box`, besides `/box/dev` (a device) and, in `/vol`, a volume. What they print, their exit codes, and what is
 * there afterwards are the same from both command lines.
 */
export const copyCases: readonly string[] = [
  // From a container.
  ...['%c:/box/file %f/new', '%c:/box/file %f', '%c:/box/file %f/', '%c:/box/file %f/file', '%c:/box/file %f/dir', '%c:/box/file %f/new/'],
  ...['%c:/box/dir %f/new', '%c:/box/dir %f/new/', '%c:/box/dir %f', '%c:/box/dir %f/dir', '%c:/box/dir %f/file', '%c:/box/dir/ %f/new'],
  ...['%c:/box/dir/. %f/new', '%c:/box/dir/. %f', '%c:/box/dir/. %f/dir', '%c:/box/dir/. %f/file', '%c:/box/dir/. %f/new/.'],
  ...['%c:/box/to-file %f/new', '%c:/box/to-dir %f/new', '%c:/box/to-dir/ %f/new', '%c:/box/to-dir/. %f/new', '%c:/box/nowhere %f/new'],
  ...[
    '-L %c:/box/to-file %f/new',
    '-L %c:/box/to-file %f/dir',
    '-L %c:/box/to-dir %f/new',
    '-L %c:/box/to-dir %f/dir',
    '-L %c:/box/to-dir/. %f',
  ],
  ...['-L %c:/box/nowhere %f/new', '-L %c:/box/file %f/new', '--follow-link %c:/box/to-dir/ %f/dir'],
  ...['%c:/box/file %f/to-file', '%c:/box/file %f/to-dir', '%c:/box/dir %f/to-dir', '%c:/box/file %f/nowhere', '%c:/box/dir %f/nowhere'],
  ...['%c:/box/file %f/no/such/place', '%c:/box/dir %f/no/such/', '%c:/nosuch %f/new', '%c:/box/file/x %f/new', 'nosuch:/x %f/new'],
  ...['%c:box/file %f/new', '%c:/box/../box/./file %f/new', '%c:/vol/inside %f/new', '%c:/vol %f/new', '%c:/box/fifo %f/new'],
  ...['-a %c:/box/dir %f/new', '-q %c:/box/file %f/new', '--quiet=false %c:/box/file %f/new', '%c:/box/file /dev/null'],
  // Into a container.
  ...['%f/file %c:/box/new', '%f/file %c:/box', '%f/file %c:/box/', '%f/file %c:/box/dir', '%f/file %c:/box/file', '%f/file %c:/box/new/'],
  ...['%f/dir %c:/box/new', '%f/dir %c:/box/new/', '%f/dir %c:/box', '%f/dir %c:/box/dir', '%f/dir %c:/box/file', '%f/dir/ %c:/box/new'],
  ...['%f/dir/. %c:/box/new', '%f/dir/. %c:/box', '%f/dir/. %c:/box/dir', '%f/dir/. %c:/box/file', '%f/dir/. %c:/box/new/.'],
  ...['%f/to-file %c:/box/new', '%f/to-dir %c:/box/new', '%f/to-dir/ %c:/box/new', '%f/to-dir/. %c:/box/new', '%f/nowhere %c:/box/new'],
  ...[
    '-L %f/to-file %c:/box/new',
    '-L %f/to-dir %c:/box/new',
    '-L %f/to-dir %c:/box/dir',
    '-L %f/to-dir/. %c:/box',
    '-L %f/nowhere %c:/box/new',
  ],
  ...['%f/file %c:/box/to-file', '%f/file %c:/box/to-dir', '%f/dir %c:/box/to-dir', '%f/file %c:/box/nowhere', '%f/dir %c:/box/to-file'],
  ...[
    '%f/file %c:/no/such/place',
    '%f/dir %c:/no/such/',
    '%f/nosuch %c:/box',
    '%f/file/x %c:/box',
    '%f/file nosuch:/x',
    '%f/file %c:/box/dev',
  ],
  ...[
    '%f/file %c:box/new',
    '%f/file %c:/vol',
    '%f/dir %c:/vol/new',
    '-a %f/dir %c:/box/new',
    '--quiet=false %f/file %c:/box/new',
    '%f/fifo %c:/box/new',
  ],
  // Words.
  ...[
    '%f/file %f/new',
    '%c:/box %c:/new',
    '"" %c:/box',
    '%c:/box ""',
    '%c:/box',
    '',
    '%c:/box %f x',
    '--nosuch a b',
    '-Z a b',
    '%c: %f/new',
  ],
  ...['- %c:/box/file', '- %c:/nosuch', './a:b %c:/box', 'a:b %c:/box'],
];

/** Where ours means to be different, and why. */
export const deliberateCopyDifferences: ReadonlyMap<string, string> = new Map([]);

/** Turns the words of an OCI runtime that refused into the sentence that Docker clients know, whichever runtime it was. */
export function describeFailure(
  action: 'create' | 'start' | 'exec',
  runtimeName: string,
  words: string,
  command: string | undefined,
): string {
  const prefix =
    action === 'exec'
      ? 'OCI runtime exec failed: exec failed: '
      : `failed to create task for container: failed to create shim task: OCI runtime create failed: `;
  const own = stripRuntimePrefix(words.trim());
  const reason = executableProblem(own, command);
  if (reason !== undefined)
    return `${prefix}${action === 'exec' ? '' : 'runc create failed: '}unable to start container process: ${reason}: unknown`;
  return `${prefix}${action === 'exec' ? '' : `${runtimeName} ${action} failed: `}${lowerErrno(own === '' ? 'the runtime gave no reason' : own)}: unknown`;
}

/** The last error in a runtime's `--log` file with `--log-format json`. */
export function lastLoggedError(log: string): string | undefined {
  const errors = log.split('\n').flatMap(line => {
    try {
      const entry = JSON.parse(line) as { level?: string; msg?: string };
      return entry.msg !== undefined && (entry.level === 'error' || entry.level === 'fatal') ? [entry.msg] : [];
    } catch {
      return [];
    }
  });
  return errors.at(-1);
}

function stripRuntimePrefix(words: string): string {
  return words
    .replace(/^(runc (create|run|start) failed|exec failed|OCI runtime error): /, '')
    .replace(/^unable to start container process: (error during container init: )?/, '');
}

/** Clients tell exit code 127 and 126 from these words. */
function executableProblem(words: string, command: string | undefined): string | undefined {
  if (/^exec: /.test(words)) return words;
  const named = /executable file `([^`]*)` not found(?: in \$PATH)?: (.*)$/s.exec(words);
  const opened =
    /^(?:exec|open executable|execve?) ?`?([^`]*?)`?: (Permission denied|Operation not permitted|Is a directory|No such file or directory|Exec format error)$/.exec(
      words,
    );
  const name = named?.[1] ?? (opened?.[1] === '' ? undefined : opened?.[1]) ?? command;
  const errno = named?.[2] ?? opened?.[2];
  if (name === undefined || errno === undefined) return undefined;
  // crun says so of everything that is no regular file.
  if (errno === 'Operation not permitted') return `exec: "${name}": is a directory`;
  if (errno !== 'No such file or directory') return `exec: "${name}": ${lowerErrno(errno)}`;
  return name.includes('/')
    ? `exec: "${name}": stat ${name}: no such file or directory`
    : `exec: "${name}": executable file not found in $PATH`;
}

/** `…: Permission denied` as the C library says it becomes `…: permission denied` as clients expect it. */
function lowerErrno(words: string): string {
  return words.replace(
    /(^|: )(No such file or directory|Permission denied|Is a directory|Not a directory|Operation not permitted|Exec format error)$/,
    (_all, before: string, text: string) => before + text.toLowerCase(),
  );
}

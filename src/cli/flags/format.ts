/** What `--format` takes, the same words for every command. */
export function formatUsage(kind: 'table' | 'object'): string {
  const table = "'table' for a table (the default), 'table TEMPLATE' for a table of your own, ";
  return `How to print: ${kind === 'table' ? table : ''}'json', or a Go template such as '{{.ID}}'`;
}

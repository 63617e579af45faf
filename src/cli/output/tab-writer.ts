/**
 * Aligns tab-separated text as Go's tabwriter does: a column is a run of neighbouring lines that have a cell there, as wide as its widest cell plus
 * the padding. What follows the last tab of a line belongs to no column.
 */
export function alignColumns(text: string, minWidth = 10, padding = 3): string {
  const lines = text.split('\n').map(line => line.split('\t'));
  const widths: number[] = [];
  const out: string[] = [];

  const writeLines = (from: number, to: number): void => {
    for (let i = from; i < to; i++) {
      const cells = lines[i] ?? [];
      let row = '';
      for (const [j, cell] of cells.entries()) {
        const width = widths[j];
        row += width === undefined || j === cells.length - 1 ? cell : cell + ' '.repeat(Math.max(0, width - runes(cell)));
      }
      out.push(row);
    }
  };

  const format = (from: number, to: number): void => {
    const column = widths.length;
    let start = from;
    for (let i = from; i < to; i++) {
      if ((lines[i]?.length ?? 0) - 1 <= column) continue;
      writeLines(start, i);
      let width = minWidth;
      let end = i;
      for (; end < to; end++) {
        const cells = lines[end] ?? [];
        if (cells.length - 1 <= column) break;
        width = Math.max(width, runes(cells[column] ?? '') + padding);
      }
      widths.push(width);
      format(i, end);
      widths.pop();
      start = end;
      i = end - 1;
    }
    writeLines(start, to);
  };

  format(0, lines.length);
  return out.join('\n');
}

function runes(text: string): number {
  return /^[\x20-\x7e]*$/.test(text) ? text.length : [...text].length;
}

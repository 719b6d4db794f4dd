/** Rows as lines, each column as wide as its widest cell. The first row is the header. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const cells = rows.map((row) => row.map(printable));
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** Control characters, which a terminal may interpret, are replaced. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '\ufffd');
}

/** Reads one line of comma-separated values, where a value with a comma stands in double quotes. */
export function splitCsv(text: string): string[] {
  if (text === '') return [];
  const fields: string[] = [];
  let field = '';
  let at = 0;
  for (;;) {
    if (text[at] === '"') {
      for (at += 1; ; at += 1) {
        if (at >= text.length) throw new Error(`parse error on line 1, column ${text.length + 1}: extraneous or missing " in quoted-field`);
        if (text[at] !== '"') field += text[at];
        else if (text[at + 1] === '"') {
          field += '"';
          at += 1;
        } else break;
      }
      at += 1;
      if (at < text.length && text[at] !== ',')
        throw new Error(`parse error on line 1, column ${at + 1}: extraneous or missing " in quoted-field`);
    } else {
      const end = text.indexOf(',', at);
      field = text.slice(at, end < 0 ? text.length : end);
      if (field.includes('"')) throw new Error(`parse error on line 1, column ${at + field.indexOf('"') + 1}: bare " in non-quoted-field`);
      at = end < 0 ? text.length : end;
    }
    fields.push(field);
    field = '';
    if (at >= text.length) return fields;
    at += 1;
  }
}

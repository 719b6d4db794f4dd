/** What the architecture test knows of a source text: found by scanning, good enough for formatted code. */
export type Import = Readonly<{
  specifier: string;
  /** `type` for `import type` and `export type`: they are gone at run time. */
  kind: 'value' | 'type';
  line: number;
}>;

export type SourceText = Readonly<{
  /** The text with the insides of comments, strings, templates and regular expressions blanked; same length, same lines. */
  code: string;
  /** Line numbers, from 1, that carry a comment. */
  commentLines: ReadonlySet<number>;
  lineCount: number;
  imports: readonly Import[];
  /** Lines of imports whose specifier is computed. */
  computedImports: readonly number[];
}>;

export function readSource(text: string): SourceText {
  const { code, commentLines } = blank(text);
  return {
    code,
    commentLines,
    lineCount: text.replace(/\n$/, '').split('\n').length,
    ...findImports(text, code),
  };
}

export function lineOf(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

const STATIC_IMPORT = /\bimport\s+(type\s+)?[\w$*{][\w$*\s{},]*?\s*\bfrom\s*(?=['"])/g;
const RE_EXPORT = /\bexport\s+(type\s+)?(?:\*(?:\s+as\s+[\w$]+)?|\{[^}]*\})\s*from\s*(?=['"])/g;
const BARE_IMPORT = /\bimport\s*(?=['"])/g;
const CALLED_IMPORT = /(?<![\w$.]|\bfunction\s)(?:import|require(?:\.resolve)?|process\.getBuiltinModule)\s*\(\s*/g;

function findImports(text: string, code: string): Pick<SourceText, 'imports' | 'computedImports'> {
  const imports: Import[] = [];
  const computedImports: number[] = [];
  for (const pattern of [STATIC_IMPORT, RE_EXPORT, BARE_IMPORT, CALLED_IMPORT]) {
    for (const match of code.matchAll(pattern)) {
      const line = lineOf(code, match.index);
      const quoteAt = match.index + match[0].length;
      const quote = code.charAt(quoteAt);
      const end = code.indexOf(quote, quoteAt + 1);
      const specifier = text.slice(quoteAt + 1, end);
      if (!/['"`]/.test(quote) || (quote === '`' && specifier.includes('${'))) computedImports.push(line);
      else imports.push({ specifier, kind: match[1] === undefined ? 'value' : 'type', line });
    }
  }
  return { imports: imports.sort((a, b) => a.line - b.line), computedImports };
}

function blank(text: string): Pick<SourceText, 'code' | 'commentLines'> {
  const out = text.split('');
  const commentLines = new Set<number>();
  // For each `${` that is open: how many braces were open before it.
  const templates: number[] = [];
  let braces = 0;
  let line = 1;

  const wipe = (from: number, to: number): void => {
    for (let i = from; i < to; i += 1) if (out[i] !== '\n') out[i] = ' ';
  };
  const comment = (from: number, to: number): number => {
    const lines = text.slice(from, to).split('\n').length;
    for (let i = 0; i < lines; i += 1) commentLines.add(line + i);
    wipe(from, to);
    return to;
  };
  const template = (from: number): number => {
    let i = from;
    while (i < text.length && text[i] !== '`' && !text.startsWith('${', i)) i += text[i] === '\\' ? 2 : 1;
    wipe(from, Math.min(i, text.length));
    if (text[i] !== '$') return i + 1;
    templates.push(braces);
    return i + 2;
  };
  const quoted = (from: number, end: number): number => {
    wipe(from + 1, end - 1);
    return end;
  };
  const step = (i: number): number => {
    const char = text.charAt(i);
    if (text.startsWith('//', i)) return comment(i, endOr(text.indexOf('\n', i), text.length));
    if (text.startsWith('/*', i)) return comment(i, endOr(text.indexOf('*/', i + 2), text.length - 2, 2));
    if (char === "'" || char === '"') return quoted(i, endOfLiteral(text, i, char));
    if (char === '`') return template(i + 1);
    if (char === '/' && startsRegExp(out, i)) return quoted(i, endOfRegExp(text, i));
    if (char === '{') braces += 1;
    if (char === '}' && templates.at(-1) === braces) {
      templates.pop();
      return template(i + 1);
    }
    if (char === '}') braces -= 1;
    return i + 1;
  };

  for (let i = 0; i < text.length; ) {
    const next = step(i);
    line += text.slice(i, next).split('\n').length - 1;
    i = next;
  }
  return { code: out.join(''), commentLines };
}

function endOr(found: number, otherwise: number, length = 0): number {
  return (found === -1 ? otherwise : found) + length;
}

/** Past the closing quote; a literal ends with its line at the latest (an apostrophe in JSX text opens none). */
function endOfLiteral(text: string, from: number, quote: string): number {
  let i = from + 1;
  while (i < text.length && text[i] !== quote && text[i] !== '\n') i += text[i] === '\\' ? 2 : 1;
  return i + 1;
}

function endOfRegExp(text: string, from: number): number {
  let inClass = false;
  for (let i = from + 1; i < text.length && text[i] !== '\n'; i += text[i] === '\\' ? 2 : 1) {
    if (text[i] === '[') inClass = true;
    if (text[i] === ']') inClass = false;
    if (text[i] === '/' && !inClass) return i + 1;
  }
  return from + 1;
}

/** A slash divides after a value, and else opens a regular expression. */
function startsRegExp(before: readonly string[], at: number): boolean {
  const head = before
    .slice(Math.max(0, at - 80), at)
    .join('')
    .trimEnd();
  return head === '' || /[(,=:[!&|?{;+*%>~^-]$/.test(head) || /\b(?:return|typeof|case|in|of|else|void)$/.test(head);
}

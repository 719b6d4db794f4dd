import { readFileSync } from 'node:fs';

/** The content of a compose file; scalars are text. */
export type Node = string | readonly Node[] | { readonly [key: string]: Node };
export type Mapping = { readonly [key: string]: Node };

type Line = Readonly<{ indent: number; text: string; number: number }>;

/**
 * Reads the subset of YAML that the compose files use: block mappings, block lists of scalars, anchors, aliases and merges (`<<: *one`). Throws for
 * anything else.
 */
export function readComposeFile(path: URL): Mapping {
  const lines = readFileSync(path, 'utf8')
    .split('\n')
    .map((text, index) => ({ indent: text.search(/\S/), text: text.trim(), number: index + 1 }))
    .filter(({ text }) => text !== '' && !text.startsWith('#'));
  const reader = new Reader(lines);
  const root = asMapping(reader.block(0));
  reader.expectEnd();
  return root;
}

/** The node as a mapping; empty for a key without a value. Throws for anything else. */
export function asMapping(node: Node | undefined): Mapping {
  if (node === undefined || node === '') return {};
  if (typeof node === 'string' || isList(node)) throw new Error(`expected a mapping, found ${JSON.stringify(node)}`);
  return node;
}

/** The node as a list of scalars; empty when it is missing. Throws for anything else. */
export function asList(node: Node | undefined): readonly string[] {
  if (node === undefined) return [];
  if (!isList(node)) throw new Error(`expected a list, found ${JSON.stringify(node)}`);
  return node.map(String);
}

/** Replaces variables as Compose does: `${NAME}`, `${NAME:-default}`, and `${NAME:?message}`, which throws when the variable is not set. */
export function interpolate(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_all, name: string, kind?: string, rest?: string) => {
    const value = env[name];
    if (value !== undefined && value !== '') return value;
    if (kind === '?') throw new Error(`${name} ${rest}`);
    return rest ?? '';
  });
}

const isList = (node: Node): node is readonly Node[] => Array.isArray(node);

class Reader {
  readonly #lines: readonly Line[];
  readonly #anchors = new Map<string, Node>();
  #at = 0;

  constructor(lines: readonly Line[]) {
    this.#lines = lines;
  }

  expectEnd(): void {
    const line = this.#lines[this.#at];
    if (line !== undefined) throw new Error(`line ${line.number}: unexpected indentation`);
  }

  /** The mapping or list whose lines have exactly this indentation. */
  block(indent: number): Node {
    const isListed = this.#lines[this.#at]?.text.startsWith('- ') === true;
    const items: string[] = [];
    let entries: Record<string, Node> = {};
    for (let line = this.#lines[this.#at]; line?.indent === indent; line = this.#lines[this.#at]) {
      this.#at++;
      if (isListed) {
        items.push(scalar(line.text.replace(/^- /, ''), line));
        continue;
      }
      const [, key, value = ''] = /^([\w<./-]+):(?: (.*))?$/.exec(line.text) ?? [];
      if (key === undefined) throw new Error(`line ${line.number}: neither a key nor a list item`);
      const node = this.#value(value, line);
      entries = key === '<<' ? { ...asMapping(node), ...entries } : { ...entries, [key]: node };
    }
    return isListed ? items : entries;
  }

  #value(value: string, line: Line): Node {
    if (value.startsWith('*')) {
      const node = this.#anchors.get(value.slice(1));
      if (node === undefined) throw new Error(`line ${line.number}: unknown anchor ${value}`);
      return node;
    }
    const [, anchor] = /^&([\w-]+)$/.exec(value) ?? [];
    if (anchor === undefined && value !== '') return scalar(value, line);
    const next = this.#lines[this.#at];
    const node = next !== undefined && next.indent > line.indent ? this.block(next.indent) : '';
    if (anchor !== undefined) this.#anchors.set(anchor, node);
    return node;
  }
}

function scalar(text: string, { number }: Line): string {
  const [, quoted] = /^'([^']*)'$/.exec(text) ?? [];
  if (quoted !== undefined) return quoted;
  if (/^[[{|>&*!'"%@`]|: | #/.test(text)) throw new Error(`line ${number}: unsupported YAML: ${text}`);
  return text;
}

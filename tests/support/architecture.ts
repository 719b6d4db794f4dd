import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { lineOf, readSource, type SourceText } from './source-text.ts';

/** Path from the root of the repository, with forward slashes → text. */
export type Files = Readonly<Record<string, string>>;

type Layer = keyof typeof MAY_IMPORT;
type Import = SourceText['imports'][number];

const MAX_LINES = 300;
const MAX_TYPE_PARAMETERS = 3;

/** The folders that the files of each folder may import, besides their own folder; the table of docs/architecture.md. */
const MAY_IMPORT = {
  kernel: [],
  ports: ['kernel'],
  log: ['kernel', 'ports'],
  aggregates: ['kernel', 'commands'],
  commands: ['kernel', 'ports', 'log', 'aggregates'],
  identity: ['kernel', 'ports', 'aggregates', 'commands'],
  conversations: ['kernel', 'ports', 'log', 'aggregates', 'commands'],
  projections: ['kernel', 'ports', 'log', 'aggregates'],
  reactions: ['kernel', 'ports', 'log', 'aggregates', 'commands'],
  push: ['kernel', 'ports', 'log', 'aggregates', 'commands'],
  bridge: ['kernel', 'ports', 'log', 'aggregates', 'commands'],
  operations: ['kernel', 'ports', 'log', 'aggregates', 'commands', 'identity', 'conversations', 'reactions'],
  telemetry: ['kernel', 'ports', 'log', 'commands'],
  http: 'all but adapters',
  adapters: ['kernel', 'ports'],
  config: [],
  /** Files directly in `src`. */
  src: [],
  compose: 'everything',
  main: 'all but adapters',
  cli: 'everything',
  client: [],
  web: ['client'],
} as const;

/** Folders that compose and start the rest; no other folder imports them. */
const ENTRIES: readonly string[] = ['compose', 'main', 'cli'];

/** Technology packages, and the only folder of `src/adapters` that may import each. */
const PACKAGE_OWNERS: Readonly<Record<string, string>> = {
  'node:sqlite': 'sqlite',
  '@eventstore/db-client': 'eventstoredb',
  '@kurrent/kurrentdb-client': 'eventstoredb',
  mongodb: 'mongodb',
  bson: 'mongodb',
  kafkajs: 'kafka',
  '@confluentinc/kafka-javascript': 'kafka',
  '@platformatic/kafka': 'kafka',
  nodemailer: 'smtp',
  pino: 'system',
  'prom-client': 'prometheus',
};

/** The only folder that may use time and randomness of the platform; all others use the ports. */
const SYSTEM = 'src/adapters/system/';
/** Matches the platform's functions, but not methods of the same name of other objects. */
const PLATFORM_TIME_AND_RANDOMNESS =
  /(?<![.\w$])(?:Date\.now|performance\.now|Math\.random|AbortSignal\.timeout|setTimeout|setInterval|new\s+Date\s*\(\s*\))|\b(?:randomUUID|randomBytes|randomFillSync|randomInt|getRandomValues)\b/g;
const TIMER_MODULES = /^(?:node:)?timers(?:\/promises)?$/;

/** The source files in the given folders; a missing folder has none. */
export function readFiles(root: string, folders = ['src', 'client', 'web']): Files {
  const paths = folders.flatMap((folder) => list(root, folder));
  return Object.fromEntries(paths.map((path) => [path, readFileSync(posix.join(root, path), 'utf8')]));
}

function list(root: string, folder: string): string[] {
  try {
    return readdirSync(posix.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) return /^(node_modules|dist)$/.test(entry.name) ? [] : list(root, path);
      return /\.[cm]?[jt]sx?$/.test(entry.name) ? [path] : [];
    });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

/** All violations of the rules, one line each: `file:line: rule`. */
export function findViolations(files: Files): string[] {
  const sources = new Map(Object.entries(files).map(([path, text]) => [path, readSource(text)]));
  const found = [...sources].flatMap(([path, source]) => [
    ...importRules(path, source),
    ...escapeHatches(path, source),
    ...typeParameters(path, source),
    ...timeAndRandomness(path, source),
    ...(source.lineCount > MAX_LINES ? [`${path}: ${source.lineCount} lines, at most ${MAX_LINES} are allowed`] : []),
  ]);
  return [...found, ...cycles(sources)];
}

function layerOf(path: string): Layer | undefined {
  const [top, second = '', ...rest] = path.split('/');
  if (top === 'client' || top === 'web') return top;
  if (top !== 'src') return undefined;
  if (rest.length === 0) return second === 'main.ts' ? 'main' : 'src';
  const isFolder = Object.hasOwn(MAY_IMPORT, second) && !['src', 'main', 'client', 'web'].includes(second);
  return isFolder ? (second as Layer) : undefined;
}

function importRules(path: string, { imports, computedImports }: SourceText): string[] {
  const layer = layerOf(path);
  if (layer === undefined) return [`${path}: is not in a folder of the architecture`];
  return [
    ...computedImports.map((line) => `${path}:${line}: computed import names are not allowed`),
    ...imports.flatMap((found) => {
      const rule = found.specifier.startsWith('.')
        ? fileRule(path, layer, resolve(path, found.specifier), found.kind)
        : packageRule(path, layer, found.specifier);
      return rule === undefined ? [] : [`${path}:${found.line}: ${rule}`];
    }),
  ];
}

function resolve(from: string, specifier: string): string {
  return posix.join(posix.dirname(from), specifier);
}

/** The rule that an import of `target` violates; `undefined` when it is allowed. */
function fileRule(path: string, layer: Layer, target: string, kind: Import['kind']): string | undefined {
  const to = layerOf(target);
  if (to === undefined) return `${layer} may not import ${target}`;
  if (to === layer) return sameLayerRule(path, layer, target);
  if (!mayImport(layer, to)) return `${layer} may not import ${to} (${target})`;
  if (layer === 'aggregates' && to === 'commands' && kind !== 'type') {
    return `aggregates may import only types from commands, by \`import type\` (${target})`;
  }
  if (['projections', 'reactions', 'push', 'bridge'].includes(layer) && to === 'aggregates' && !isEvents(target)) {
    return `${layer} may import only the events of aggregates, not ${target}`;
  }
  return undefined;
}

function mayImport(layer: Layer, to: Layer): boolean {
  const allowed: readonly string[] | string = MAY_IMPORT[layer];
  if (to === 'client' || to === 'web') return Array.isArray(allowed) && allowed.includes(to);
  if (allowed === 'everything') return !(layer === 'compose' && ENTRIES.includes(to));
  if (allowed === 'all but adapters')
    return to !== 'adapters' && (layer === 'main' ? to !== 'cli' : !ENTRIES.includes(to));
  return allowed.includes(to);
}

/** Whether the file has events of an aggregate, or their public form. */
function isEvents(path: string): boolean {
  return /\/(events|message)[^/]*\.ts$/.test(path);
}

/** Aggregates do not import each other, and neither do adapters. Aggregates share the files directly in their folder. */
function sameLayerRule(path: string, layer: Layer, target: string): string | undefined {
  if (layer !== 'aggregates' && layer !== 'adapters') return undefined;
  const [from, to] = [path, target].map((file) => file.split('/').slice(2, -1)[0]);
  if (from === to || (layer === 'aggregates' && (from === undefined || to === undefined))) return undefined;
  return `${layer}/${from ?? ''} may not import ${target}`;
}

function packageRule(path: string, layer: Layer, specifier: string): string | undefined {
  const name = specifier.startsWith('node:')
    ? specifier
    : specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  const owner = Object.hasOwn(PACKAGE_OWNERS, name) ? PACKAGE_OWNERS[name] : undefined;
  if (owner !== undefined && !path.startsWith(`src/adapters/${owner}/`)) {
    return `only src/adapters/${owner} may import '${name}'`;
  }
  if (layer === 'kernel' && !name.startsWith('node:')) return `kernel may not import the package '${name}'`;
  return undefined;
}

/** Time and randomness are ports: see `src/ports/clock.ts` and `src/ports/random.ts`. */
function timeAndRandomness(path: string, { code, imports }: SourceText): string[] {
  if (!path.startsWith('src/') || path.startsWith(SYSTEM)) return [];
  const rule = (line: number, name: string): string =>
    `${path}:${line}: ${name.replace(/\s+/g, ' ')} is used only in ${SYSTEM}; take a Clock or a Random`;
  return [
    ...imports
      .filter(({ specifier }) => TIMER_MODULES.test(specifier))
      .map(({ line, specifier }) => rule(line, specifier)),
    ...[...code.matchAll(PLATFORM_TIME_AND_RANDOMNESS)].map((match) => rule(lineOf(code, match.index), match[0])),
  ];
}

/** `any` and `as unknown as` need a comment on the same line or the line before. */
function escapeHatches(path: string, { code, commentLines }: SourceText): string[] {
  return [...code.matchAll(/(?<![.\w$])any\b(?!\s*\??\s*[:(])|\bas\s+unknown\s+as\b/g)].flatMap((match) => {
    const line = lineOf(code, match.index);
    if (commentLines.has(line) || commentLines.has(line - 1)) return [];
    return [`${path}:${line}: \`${match[0].replace(/\s+/g, ' ')}\` needs a comment that says why`];
  });
}

/** Checks the type parameters of types, classes, functions, methods and arrow functions. */
function typeParameters(path: string, { code }: SourceText): string[] {
  return [...code.matchAll(/</g)].flatMap(({ index }) => {
    const list = readTypeList(code, index);
    if (list === undefined || list.count <= MAX_TYPE_PARAMETERS) return [];
    const isNamed = /\b(?:type|interface|class|function)\s*\*?\s+[\w$]+\s*$/.test(
      code.slice(Math.max(0, index - 80), index),
    );
    if (!isNamed && !declaresFunction(code, list.end)) return [];
    return [
      `${path}:${lineOf(code, index)}: ${list.count} type parameters, at most ${MAX_TYPE_PARAMETERS} are allowed`,
    ];
  });
}

/** The number of entries and the end of the list that the `<` at `from` opens; `undefined` when it opens no list. */
function readTypeList(code: string, from: number): { count: number; end: number } | undefined {
  const open: string[] = [];
  let count = 1;
  for (let i = from; i < code.length; i += 1) {
    const char = code.charAt(i);
    if ('<({['.includes(char)) open.push(char);
    else if (')}]'.includes(char) || (char === '>' && code[i - 1] !== '=')) {
      if (open.pop() !== { ')': '(', '}': '{', ']': '[', '>': '<' }[char]) return undefined;
      if (open.length === 0) return { count: /,\s*$/.test(code.slice(from, i)) ? count - 1 : count, end: i + 1 };
    } else if (char === ',' && open.length === 1) count += 1;
    else if (char === ';' && open.length === 1) return undefined;
  }
  return undefined;
}

/** Whether a type list is followed by `(…)` and a body, result type or arrow: it belongs to a declaration, not to a call. */
function declaresFunction(code: string, from: number): boolean {
  let depth = 0;
  if (!/^\s*\(/.test(code.slice(from, from + 40))) return false;
  for (let i = code.indexOf('(', from); i < code.length; i += 1) {
    if (code[i] === '(') depth += 1;
    if (code[i] === ')') depth -= 1;
    if (depth === 0) return /^\s*(?:[:{]|=>)/.test(code.slice(i + 1, i + 40));
  }
  return false;
}

/** Import cycles, including those of types. */
function cycles(sources: ReadonlyMap<string, SourceText>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path))
      found.push(`${path}: import cycle: ${[...trail.slice(trail.indexOf(path)), path].join(' → ')}`);
    if (done.has(path) || trail.includes(path)) return;
    for (const target of new Set(sources.get(path)?.imports.map(({ specifier }) => resolve(path, specifier)))) {
      if (sources.has(target)) visit(target, [...trail, path]);
    }
    done.add(path);
  };
  for (const path of sources.keys()) visit(path, []);
  return found;
}

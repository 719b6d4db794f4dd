import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { findViolations, readFiles } from './support/architecture.ts';
import { readSource } from './support/source-text.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

it('every source file follows the rules of the architecture', () => {
  expect(findViolations(readFiles(root))).toEqual([]);
});

it('missing folders have no files', () => {
  expect(readFiles(root, ['no-such-folder'])).toEqual({});
});

/** The files of a project, and the violations expected in it, each as `file:line: …`. */
type Case = readonly [name: string, files: Record<string, string>, expected: readonly string[]];

function check(cases: readonly Case[]): void {
  it.each(cases)('%s', (_name, files, expected) => {
    expect(findViolations(files)).toEqual(expected);
  });
}

const importing = (specifier: string): string => `import { x } from '${specifier}';\n`;
const importingType = (specifier: string): string => `import type { X } from '${specifier}';\n`;

describe('imports of files', () => {
  check([
    [
      'the kernel imports no other folder',
      { 'src/kernel/a.ts': importing('../ports/clock.ts') },
      ['src/kernel/a.ts:1: kernel may not import ports (src/ports/clock.ts)'],
    ],
    [
      'ports import only the kernel',
      { 'src/ports/a.ts': importing('../kernel/event.ts') + importingType('../aggregates/user/events.ts') },
      ['src/ports/a.ts:2: ports may not import aggregates (src/aggregates/user/events.ts)'],
    ],
    [
      'aggregates import only types from commands',
      {
        'src/aggregates/user/a.ts': importingType('../../commands/user.ts') + importing('../../kernel/event.ts'),
        'src/aggregates/user/b.ts': `import { type X } from '../../commands/user.ts';\n`,
      },
      [
        'src/aggregates/user/b.ts:1: aggregates may import only types from commands, by `import type` (src/commands/user.ts)',
      ],
    ],
    [
      'aggregates import neither each other nor ports, but may share files directly in their folder',
      {
        'src/aggregates/user/a.ts':
          importing('../event-spec.ts') + importing('./events.ts') + importing('../project/events.ts'),
        'src/aggregates/registry.ts': importing('./user/events.ts'),
        'src/aggregates/user/b.ts': importing('../../ports/clock.ts'),
      },
      [
        'src/aggregates/user/a.ts:3: aggregates/user may not import src/aggregates/project/events.ts',
        'src/aggregates/user/b.ts:1: aggregates may not import ports (src/ports/clock.ts)',
      ],
    ],
    [
      'commands import kernel, ports, the event log and aggregates',
      {
        'src/commands/a.ts':
          importing('../kernel/a.ts') + importing('../ports/a.ts') + importing('../aggregates/a/decider.ts'),
        'src/commands/c.ts': importing('../log/event-log.ts'),
        'src/commands/b.ts': importing('../projections/a.ts'),
      },
      ['src/commands/b.ts:1: commands may not import projections (src/projections/a.ts)'],
    ],
    [
      'projections import events of aggregates, but neither deciders nor commands',
      {
        'src/projections/a.ts': importing('../aggregates/user/events.ts') + importing('../ports/documents.ts'),
        'src/projections/b.ts': importingType('../aggregates/user/decider.ts'),
        'src/projections/c.ts': importingType('../commands/user.ts'),
      },
      [
        'src/projections/b.ts:1: projections may import only the events of aggregates, not src/aggregates/user/decider.ts',
        'src/projections/c.ts:1: projections may not import commands (src/commands/user.ts)',
      ],
    ],
    ...['reactions', 'push', 'bridge'].map(
      (folder): Case => [
        `${folder} also imports commands, but neither projections nor http`,
        {
          [`src/${folder}/a.ts`]: importing('../commands/user.ts') + importing('../aggregates/user/events.ts'),
          [`src/${folder}/b.ts`]: importing('../projections/a.ts') + importing('../http/app.ts'),
        },
        [
          `src/${folder}/b.ts:1: ${folder} may not import projections (src/projections/a.ts)`,
          `src/${folder}/b.ts:2: ${folder} may not import http (src/http/app.ts)`,
        ],
      ],
    ),
    [
      'operations import the services that they work with, but neither projections nor http',
      {
        'src/operations/a.ts': importing('../reactions/a.ts') + importing('../identity/a.ts'),
        'src/operations/b.ts': importing('../projections/a.ts') + importing('../http/app.ts'),
      },
      [
        'src/operations/b.ts:1: operations may not import projections (src/projections/a.ts)',
        'src/operations/b.ts:2: operations may not import http (src/http/app.ts)',
      ],
    ],
    [
      'no other folder imports the command line',
      {
        'src/compose/a.ts': importing('../cli/run.ts'),
        'src/main.ts': importing('./cli/run.ts'),
        'src/cli/b.ts': importing('../operations/a.ts') + importing('../compose/start.ts'),
      },
      [
        'src/compose/a.ts:1: compose may not import cli (src/cli/run.ts)',
        'src/main.ts:1: main may not import cli (src/cli/run.ts)',
      ],
    ],
    [
      'http imports everything except adapters and entry points',
      {
        'src/http/a.ts': importing('../push/hub.ts') + importing('../bridge/a.ts') + importing('../config/config.ts'),
        'src/http/b.ts': importing('../adapters/sqlite/a.ts') + importing('../compose/start.ts'),
      },
      [
        'src/http/b.ts:1: http may not import adapters (src/adapters/sqlite/a.ts)',
        'src/http/b.ts:2: http may not import compose (src/compose/start.ts)',
      ],
    ],
    [
      'an adapter imports ports and its own folder',
      {
        'src/adapters/sqlite/a.ts': importing('../../ports/clock.ts') + importing('./file.ts'),
        'src/adapters/sqlite/b.ts': importing('../mongodb/a.ts') + importing('../../commands/a.ts'),
      },
      [
        'src/adapters/sqlite/b.ts:1: adapters/sqlite may not import src/adapters/mongodb/a.ts',
        'src/adapters/sqlite/b.ts:2: adapters may not import commands (src/commands/a.ts)',
      ],
    ],
    [
      'only compose and cli import adapters',
      {
        'src/compose/node.ts': importing('../adapters/sqlite/a.ts') + importing('../http/app.ts'),
        'src/cli/a.ts': importing('../adapters/sqlite/a.ts') + importing('../compose/node.ts'),
        'src/main.ts': importing('./compose/start.ts') + importing('./adapters/sqlite/a.ts'),
        'src/config/config.ts': importing('../adapters/sqlite/a.ts'),
      },
      [
        'src/main.ts:2: main may not import adapters (src/adapters/sqlite/a.ts)',
        'src/config/config.ts:1: config may not import adapters (src/adapters/sqlite/a.ts)',
      ],
    ],
    [
      'the web application imports only the client library',
      {
        'web/a.tsx': importing('../client/index.ts'),
        'web/b.tsx': importing('../src/kernel/event.ts'),
        'client/a.ts': importing('../src/kernel/event.ts'),
        'src/http/a.ts': importing('../../web/a.tsx'),
      },
      [
        'web/b.tsx:1: web may not import kernel (src/kernel/event.ts)',
        'client/a.ts:1: client may not import kernel (src/kernel/event.ts)',
        'src/http/a.ts:1: http may not import web (web/a.tsx)',
      ],
    ],
    [
      'all files are in a known folder, and src imports nothing outside src',
      { 'src/util/a.ts': '', 'src/http/a.ts': importing('../../tests/support/a.ts') },
      [
        'src/util/a.ts: is not in a folder of the architecture',
        'src/http/a.ts:1: http may not import tests/support/a.ts',
      ],
    ],
  ]);
});

describe('imports of packages', () => {
  check([
    [
      'the kernel imports only packages of Node',
      { 'src/kernel/a.ts': importing('node:crypto') + importing('typebox/compile') },
      [`src/kernel/a.ts:2: kernel may not import the package 'typebox'`],
    ],
    ...(
      [
        ['node:sqlite', 'sqlite'],
        ['@eventstore/db-client', 'eventstoredb'],
        ['mongodb', 'mongodb'],
        ['kafkajs', 'kafka'],
        ['nodemailer', 'smtp'],
        ['prom-client', 'prometheus'],
        ['pino', 'system'],
      ] as const
    ).map(
      ([name, folder]): Case => [
        `only its adapter imports ${name}`,
        {
          [`src/adapters/${folder}/a.ts`]: importing(name) + importing(`${name}/lib/x.js`),
          'src/adapters/other/a.ts': importing(name),
          'src/compose/stores.ts': importingType(name),
          'src/cli/a.ts': `const x = await import('${name}');\n`,
        },
        ['src/adapters/other/a.ts', 'src/compose/stores.ts', 'src/cli/a.ts'].map(
          (path) => `${path}:1: only src/adapters/${folder} may import '${name}'`,
        ),
      ],
    ),
    [
      'imports with computed names are rejected',
      { 'src/http/a.ts': 'const a = await import(name);\nconst b = await import(`./${name}.ts`);\n' },
      [1, 2].map((n) => `src/http/a.ts:${n}: computed import names are not allowed`),
    ],
  ]);
});

describe('time and randomness', () => {
  check([
    [
      'are taken from the platform only in adapters/system',
      {
        'src/adapters/system/a.ts': 'const a = Date.now() + performance.now() + Math.random();\nsetTimeout(f, 1);\n',
        'src/push/a.ts': 'const a = Date.now();\nconst b = new Date();\nconst c = performance.now();\n',
        'src/push/b.ts': 'const a = Math.random();\nconst b = randomUUID();\nsetTimeout(f, 1);\nsetInterval(f, 1);\n',
        'src/push/c.ts':
          "import { setTimeout as sleep } from 'node:timers/promises';\nconst s = AbortSignal.timeout(1);\n",
        'src/push/d.ts': 'const a = crypto.randomUUID() + randomBytes(8);\n',
      },
      [
        ['a', 1, 'Date.now'],
        ['a', 2, 'new Date()'],
        ['a', 3, 'performance.now'],
        ['b', 1, 'Math.random'],
        ['b', 2, 'randomUUID'],
        ['b', 3, 'setTimeout'],
        ['b', 4, 'setInterval'],
        ['c', 1, 'node:timers/promises'],
        ['c', 1, 'setTimeout'],
        ['c', 2, 'AbortSignal.timeout'],
        ['d', 1, 'randomUUID'],
        ['d', 1, 'randomBytes'],
      ].map(
        ([file, line, name]) =>
          `src/push/${file}.ts:${line}: ${name} is used only in src/adapters/system/; take a Clock or a Random`,
      ),
    ],
    [
      'are not reported for similar names, comments and strings',
      {
        'src/push/a.ts':
          'const a = new Date(clock.now());\nDate.parse(b);\n// Date.now()\nconst c = "setTimeout";\nclock.setTimeout(1);\nsetImmediate(f);\n',
        'client/a.ts': 'const a = Date.now();\n',
      },
      [],
    ],
  ]);
});

describe('import cycles', () => {
  check([
    [
      'are reported for values and types',
      {
        'src/kernel/a.ts': importing('./b.ts'),
        'src/kernel/b.ts': importingType('./c.ts'),
        'src/kernel/c.ts': `export * from './a.ts';\n`,
        'src/kernel/d.ts': importing('./a.ts'),
      },
      ['src/kernel/a.ts: import cycle: src/kernel/a.ts → src/kernel/b.ts → src/kernel/c.ts → src/kernel/a.ts'],
    ],
    [
      'are not reported for two paths to the same file',
      {
        'src/kernel/a.ts': importing('./b.ts') + importing('./c.ts'),
        'src/kernel/b.ts': importing('./c.ts'),
        'src/kernel/c.ts': '',
      },
      [],
    ],
  ]);
});

describe('files', () => {
  check([
    [
      'have at most 300 lines',
      { 'src/kernel/a.ts': 'a;\n'.repeat(300), 'web/b.tsx': 'b;\n'.repeat(301) },
      ['web/b.tsx: 301 lines, at most 300 are allowed'],
    ],
    [
      'explain `any` and `as unknown as` in a comment',
      {
        'src/kernel/a.ts': `let a: any;\nconst b = c as unknown as D;\n`,
        'src/kernel/b.ts': `// The package has no types.\nlet a: any;\nconst b = c as unknown as D; // as above\n`,
        'src/kernel/c.ts': `const any = 'any';\nPromise.any([]);\nstore.append({ expect: 'any', any: 1 });\n`,
        'src/kernel/d.ts': 'type A = Map<string, any>;\n',
      },
      [
        'src/kernel/a.ts:1: `any` needs a comment that says why',
        'src/kernel/a.ts:2: `as unknown as` needs a comment that says why',
        'src/kernel/c.ts:1: `any` needs a comment that says why',
        'src/kernel/d.ts:1: `any` needs a comment that says why',
      ],
    ],
    [
      'have generics with at most three type parameters',
      {
        'src/kernel/a.ts': 'type A<B, C extends Map<D, E>, F = { g: H, i: J }> = K;\n',
        'src/kernel/b.ts': 'export type A<B, C, D, E = () => void> = F;\n',
        'src/kernel/c.ts': 'const f = async <A, B, C, D>(a: A): B => a;\n',
        'src/kernel/d.ts': 'class A {\n  b<C, D, E, F>(c: C): D {}\n}\n',
        'src/kernel/e.ts': 'export function f<\n  A,\n  B,\n  C,\n  D,\n>(a: A) {}\n',
        'src/kernel/f.ts':
          'const a = call<A, B, C, D>(e);\nlet b: Request<A, B, C, D>;\nif (a < b && c > d) f(a, b, c, d);\n',
      },
      [
        ['b', 1],
        ['c', 1],
        ['d', 2],
        ['e', 1],
      ].map(([file, line]) => `src/kernel/${file}.ts:${line}: 4 type parameters, at most 3 are allowed`),
    ],
  ]);
});

describe('reading a source file', () => {
  const read = (text: string) =>
    readSource(text).imports.map(({ specifier, kind, line }) => `${line} ${kind} ${specifier}`);

  it('finds every form of import', () => {
    const text = [
      `import a, { type B } from 'one';`,
      `import type { C } from 'two';`,
      `import * as d from "three";`,
      `import 'four';`,
      `export { e } from 'five';`,
      `export type { F } from 'six';`,
      `export * as g from 'seven';`,
      `const h = await import('eight');`,
      `const i = require('nine');`,
      `const j = process.getBuiltinModule('node:sqlite');`,
      `import type from 'ten';`,
      `import {`,
      `  k,`,
      `} from 'eleven';`,
    ].join('\n');
    expect(read(text)).toEqual([
      '1 value one',
      '2 type two',
      '3 value three',
      '4 value four',
      '5 value five',
      '6 type six',
      '7 value seven',
      '8 value eight',
      '9 value nine',
      '10 value node:sqlite',
      '11 value ten',
      '12 value eleven',
    ]);
  });

  it('ignores imports in comments, strings, templates and regular expressions', () => {
    const text = [
      `// import 'one';`,
      `/* import 'two';`,
      `   import 'three'; */`,
      `const a = "import 'four';";`,
      'const b = `import "five"; ${`${{ c: `}` }}`} import "six";`;',
      `const d = /["'\`]/.test(e) && f / 2 / g;`,
      `import 'seven';`,
    ].join('\n');
    expect(read(text)).toEqual(['7 value seven']);
  });
});

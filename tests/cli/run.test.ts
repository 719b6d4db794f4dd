import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commands } from '../../src/cli/commands/index.ts';
import { table } from '../../src/cli/table.ts';
import { operations } from '../../src/operations/index.ts';
import { parley } from './terminal.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parley-cli-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('parley', () => {
  it.each([[[]], [['help']], [['--help']], [['-h']]])('%j prints every command with its usage', async (argv) => {
    const { code, out, err } = await parley({}, ...argv);
    expect({ code, err }).toEqual({ code: 0, err: [] });
    for (const { name, usage, summary } of commands) {
      expect(out.filter((line) => line.startsWith(`  ${name} ${usage}`) && line.endsWith(summary))).toHaveLength(1);
    }
  });

  it.each([[['parked']], [['parked', 'delete']], [['list', 'parked']], [['--json', 'parked', 'list']]])(
    '%j is rejected as unknown, with the help',
    async (argv) => {
      const { code, out, err } = await parley({}, ...argv);
      expect({ code, out }).toEqual({ code: 2, out: [] });
      expect(err[0]).toBe(`unknown command: ${argv.slice(0, 2).join(' ')}`);
      expect(err).toContain('usage: parley <command>');
    },
  );

  it.each([
    [['parked', 'list', 'x'], 'parked list takes no arguments'],
    [['parked', 'list', '--limit=0'], '--limit must be an integer from 1 to 1000'],
    [['parked', 'list', '--limit=1001'], '--limit must be an integer from 1 to 1000'],
    [['parked', 'list', '--limit=ten'], '--limit must be an integer from 1 to 1000'],
    [['parked', 'retry'], 'give the ids of effects, or --all'],
    [['parked', 'retry', 'x', '--all'], 'give the ids of effects, or --all'],
    [['parked', 'list', '--bad'], expect.stringMatching(/^Unknown option '--bad'/)],
  ])('%j is rejected with the usage of the command', async (argv, message) => {
    const { code, out, err } = await parley({ DATA_DIR: folder }, ...argv);
    expect({ code, out }).toEqual({ code: 2, out: [] });
    expect(err).toEqual([message, expect.stringMatching(new RegExp(`^usage: parley ${argv[0]} ${argv[1]} `))]);
  });

  it('rejects more ids than an operation takes', async () => {
    const ids = Array.from({ length: 1_001 }, (_, n) => `id-${n}`);
    const { code, err } = await parley({ DATA_DIR: folder }, 'parked', 'retry', ...ids);
    expect({ code, message: err[0] }).toEqual({ code: 2, message: 'give at most 1000 ids' });
  });

  it('prints the usage of a command, and does not run it', async () => {
    const { code, out } = await parley({ PORT: 'not read' }, 'parked', 'retry', '--help');
    expect(code).toBe(0);
    expect(out[0]).toBe('usage: parley parked retry <id>… | --all');
  });

  it('reports every invalid setting', async () => {
    const { code, err } = await parley({ PORT: 'x', LOG_LEVEL: 'loud' }, 'parked', 'list');
    expect(code).toBe(2);
    expect(err.join('\n').split('\n')).toEqual([
      expect.stringMatching(/^PORT must be an integer/),
      expect.stringMatching(/^LOG_LEVEL must be one of/),
    ]);
  });

  it('makes no installation in a folder that has none', async () => {
    const DATA_DIR = join(folder, 'none');
    const { code, err } = await parley({ DATA_DIR }, 'parked', 'list');
    expect(code).toBe(2);
    expect(err).toEqual([`there is no installation in '${DATA_DIR}': set DATA_DIR, or start the server first`]);
    expect(await readdir(folder)).toEqual([]);
  });

  it('is a program of its own, with the exit codes', async () => {
    const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
    const run = promisify(execFile)(process.execPath, [main, 'parked', 'list'], {
      env: { DATA_DIR: join(folder, 'none') },
      timeout: 30_000,
    });
    await expect(run).rejects.toMatchObject({ code: 2, stdout: '', stderr: /^there is no installation in '/ });
  });
});

it('names of commands and operations are unique', () => {
  for (const names of [commands.map(({ name }) => name), operations.map(({ name }) => name)]) {
    expect(new Set(names).size).toBe(names.length);
  }
  // The first command whose words match is run.
  for (const { name } of commands) {
    expect(commands.filter((other) => other.name !== name && other.name.startsWith(`${name} `))).toEqual([]);
  }
});

it('tables align their columns and show no control characters', () => {
  expect(
    table([
      ['A', 'LONG', 'C'],
      ['one', 'x\u001b[31m\n', ''],
    ]),
  ).toEqual(['A    LONG     C', 'one  x\ufffd[31m\ufffd']);
});

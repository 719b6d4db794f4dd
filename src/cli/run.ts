import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';
import { InstallationError } from '../compose/installation.ts';
import type { OpenInstallation } from '../compose/without-server.ts';
import { type Config, readConfig } from '../config/config.ts';
import type { Environment } from '../config/reader.ts';
import { type Command, type Output, UsageError } from './command.ts';
import { commands } from './commands/index.ts';
import { createInstallation } from './installation.ts';

/** Where it prints to, and its means besides the arguments and the environment. */
export type Terminal = Readonly<{
  print: (line: string) => void;
  printError: (line: string) => void;
  /** Opens an installation whose server does not run in the data folder. */
  openStores: (config: Config) => Promise<OpenInstallation>;
}>;

const SHARED_OPTIONS: ParseArgsOptionsConfig = { help: { type: 'boolean', short: 'h' }, json: { type: 'boolean' } };

/** Runs `parley` with these arguments. Resolves with the exit code: 0, 1 when it failed, 2 for wrong arguments and settings. */
export async function runCli(argv: readonly string[], env: Environment, terminal: Terminal): Promise<number> {
  const { print, printError } = terminal;
  const command = commands.find(({ name }) => name.split(' ').every((word, index) => argv[index] === word));
  if (command === undefined) {
    const isHelp = argv.length === 0 || ['help', '--help', '-h'].includes(argv[0] ?? '');
    if (!isHelp) printError(`unknown command: ${argv.slice(0, 2).join(' ')}`);
    for (const line of help()) (isHelp ? print : printError)(line);
    return isHelp ? 0 : 2;
  }
  try {
    const words = argv.slice(command.name.split(' ').length);
    const { values, args } = parse(command, words);
    if (values.help === true) {
      print(usageOf(command));
      print(`${command.summary}.`);
      return 0;
    }
    const { lines, json, exitCode = 0 } = await perform(command, { values, args }, env, terminal);
    for (const line of values.json === true ? [JSON.stringify(json)] : lines) print(line);
    return exitCode;
  } catch (error) {
    printError(error instanceof Error ? error.message : String(error));
    if (error instanceof UsageError) printError(usageOf(command));
    return [UsageError, InvalidSettings, InstallationError].some((kind) => error instanceof kind) ? 2 : 1;
  }
}

/** A setting is invalid; the message has a line for each. */
class InvalidSettings extends Error {}

type Parsed = Readonly<{ values: Readonly<Record<string, string | boolean | undefined>>; args: readonly string[] }>;

function parse({ options = {} }: Command, words: readonly string[]): Parsed {
  try {
    const { values, positionals } = parseArgs({
      args: [...words],
      options: { ...options, ...SHARED_OPTIONS },
      allowPositionals: true,
    });
    // No option of a command may be repeated, so that there are no lists.
    return { values: values as Parsed['values'], args: positionals };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

async function perform(
  command: Command,
  { values, args }: Parsed,
  env: Environment,
  { openStores }: Terminal,
): Promise<Output> {
  const result = readConfig(env);
  if ('errors' in result) {
    throw new InvalidSettings(result.errors.map(({ name, message }) => `${name} ${message}`).join('\n'));
  }
  const installation = createInstallation(result.config, openStores);
  try {
    return await command.run({ args, options: values, installation });
  } finally {
    await installation.close();
  }
}

function help(): string[] {
  const width = Math.max(...commands.map(({ name, usage }) => `${name} ${usage}`.length));
  return [
    'usage: parley <command>',
    '',
    ...commands.map(({ name, usage, summary }) => `  ${`${name} ${usage}`.padEnd(width)}  ${summary}`),
    '',
    'Settings are the environment variables of the server. --json prints the result as JSON, --help the usage of a command.',
  ];
}

const usageOf = ({ name, usage }: Command): string => `usage: parley ${name} ${usage}`;

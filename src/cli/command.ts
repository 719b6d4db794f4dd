import type { ParseArgsOptionsConfig } from 'node:util';
import type { Json } from '../kernel/json.ts';
import type { Installation } from './installation.ts';

/** What a command prints: lines for people, or with `--json` one JSON text. `exitCode`: 0 unless it could not do all that was asked. */
export type Output = Readonly<{ lines: readonly string[]; json: Json; exitCode?: 0 | 1 }>;

/** The words after the name of a command, and the installation that it works on. */
export type Call = Readonly<{
  args: readonly string[];
  options: Readonly<Record<string, string | boolean | undefined>>;
  installation: Installation;
}>;

/** One command of `parley`. `src/cli/commands/index.ts` lists them. */
export type Command = Readonly<{
  /** One or two words that select it, such as `parked list`. */
  name: string;
  /** What follows the name, for the help. */
  usage: string;
  /** One sentence without a full stop, for the help. */
  summary: string;
  /** Its options, in the form of `parseArgs` of `node:util`; `--help` and `--json` are those of every command. */
  options?: ParseArgsOptionsConfig;
  /** Throws a `UsageError` for wrong arguments, and whatever the installation throws. */
  run(call: Call): Promise<Output>;
}>;

/** The arguments of a command are wrong. The message is shown above its usage. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

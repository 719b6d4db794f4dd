import type { Command } from '../kernel/command.ts';

/**
 * The default case of a decider's `switch`. Its parameter type makes the compiler check that every command has a case. Throws `TypeError` for a
 * type that is unknown at run time.
 */
export function unknownCommand(command: never): never {
  throw new TypeError(`unknown command '${(command as Command).type}'`);
}

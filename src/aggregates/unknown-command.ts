import type { Command } from '../kernel/command.ts';

/** Ends a decider's dispatch: that it gets `never` proves that every command has its function. Throws `TypeError`, a fault of the caller. */
export function unknownCommand(command: never): never {
  throw new TypeError(`no decision is known for the command '${(command as Command).type}'`);
}

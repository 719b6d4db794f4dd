import type { Handled } from '../commands/command-handler.ts';
import type { RequestContext } from '../commands/request-context.ts';
import type { CommandMetadata } from '../kernel/command.ts';
import { uuidv5 } from '../kernel/ids.ts';
import type { Position } from '../kernel/position.ts';

/** Metadata of a further command of the request. Its id derives from the main command's, so that a repetition repeats it. */
export function stepOf({ metadata }: RequestContext, name: string): CommandMetadata {
  return { ...metadata, commandId: uuidv5(metadata.commandId, name) };
}

/** A time so many ms after the request's own. */
export function laterThan({ metadata }: RequestContext, ms: number): string {
  return new Date(Date.parse(metadata.at) + ms).toISOString();
}

/** Options for the request's main command. */
export function mainOptions({ handledSince }: RequestContext): { handledSince?: bigint } {
  return handledSince === undefined ? {} : { handledSince };
}

/** Where the aggregate stands after a command that leaves it with at least one event. */
export function positionOf({ position }: Pick<Handled, 'position'>): Position {
  if (position === null) throw new Error('a handled command left an aggregate without events');
  return position;
}

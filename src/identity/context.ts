import type { EarlierOutcome, RequestContext } from '../commands/request-context.ts';
import type { CommandMetadata } from '../kernel/command.ts';
import { uuidv5 } from '../kernel/ids.ts';
import type { Position } from '../kernel/position.ts';

/** Metadata of a further command of the request. Its id derives from the main command's id, so that a repeated request repeats it. */
export function stepOf({ metadata }: RequestContext, name: string): CommandMetadata {
  return { ...metadata, commandId: uuidv5(metadata.commandId, name) };
}

/** The time `ms` after the request's own. */
export function laterThan({ metadata }: RequestContext, ms: number): string {
  return new Date(Date.parse(metadata.at) + ms).toISOString();
}

/** The position of the aggregate's last event, after a command that leaves at least one. */
export function positionOf({ position }: EarlierOutcome): Position {
  if (position === null) throw new Error('a handled command left an aggregate without events');
  return position;
}

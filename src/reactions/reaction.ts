import type { Event, RecordedEvent } from '../kernel/event.ts';
import type { Json } from '../kernel/json.ts';

/**
 * An effect outside Parley that follows from events, such as sending a mail. It is performed at least once, and in the ordinary case once: twice only
 * when the process dies between performing it and storing that. Never in a rebuild, and not for events from before the reaction existed.
 */
export type Reaction = Readonly<{
  /** Durable, never changes: it names the checkpoint. */
  name: string;
  /** A collection of its own, with one document for each event that has an effect. */
  collection: string;
  /** Performs the effect of an event, if it is still needed; by the event's type. An error is retried, unless it is permanent. Settles within a minute. */
  on: ReadonlyMap<string, (event: RecordedEvent) => Promise<void>>;
  /** How long after its event an effect is performed at the earliest, in ms, by the event's type. Default: at once. */
  delays?: ReadonlyMap<string, number>;
  /** Whether an error will be the same at every attempt. */
  isPermanent(error: unknown): boolean;
}>;

/** Functions by the type of the event that they react to. */
export type EventReactions<E extends Event> = {
  readonly [Type in E['type']]?: (event: RecordedEvent<Extract<E, { type: Type }>>) => Promise<void>;
};

/** The map of a table of functions, each of which is called with events of its own type only. */
export function reactionsOf<E extends Event>(table: EventReactions<E>): Reaction['on'] {
  return new Map(Object.entries(table) as [string, (event: RecordedEvent) => Promise<void>][]);
}

/**
 * The effect of one event; the id of its document is the event's.
 * - `pending`: it is attempted, or attempted again, at `dueAt`; while an attempt runs, that is when it counts as lost.
 * - `done`: its document is deleted at `dueAt`.
 * - `parked`: given up at `dueAt`; an operator may list it, and make it pending again.
 */
export type Effect = Readonly<{
  status: 'pending' | 'done' | 'parked';
  /** Where the event is in the log. */
  stream: string;
  revision: string;
  type: string;
  /** Attempts begun. */
  attempts: number;
  /** Times in ms since the epoch. `createdAt`: when it was added, or retried by an operator; attempts continue for a limited time after that. */
  createdAt: number;
  dueAt: number;
  /** Why the last attempt failed, without personal data. */
  lastError: string | null;
}> &
  Readonly<{ [key: string]: Json }>;

/** An effect with the version that guards its next write. */
export type StoredEffect = Readonly<{ id: string; version: number; effect: Effect }>;

import type { RecordedEvent } from '../kernel/event.ts';
import type { Json } from '../kernel/json.ts';

/**
 * What is done in the world because of an event, such as sending a mail. It is done at least once, and in the ordinary case once: twice only when the
 * process dies between doing it and noting that. Never in a rebuild, and not for what was in the log before the reaction existed.
 */
export type Reaction = Readonly<{
  /** Durable, never changes: it names the checkpoint. */
  name: string;
  /** A collection of its own, with one document for each event that something is or was done for. */
  collection: string;
  /** Types of events that it answers. */
  handles: readonly string[];
  /** Does what the event calls for, if anything still. What it throws is tried again later, unless it is permanent. Settles within a minute. */
  perform(event: RecordedEvent): Promise<void>;
  /** Whether an error will be the same whenever it is tried again. */
  isPermanent(error: unknown): boolean;
}>;

/**
 * What is to be done, or was, for one event; the id of its document is the event's.
 * - `claimed`: it is to be tried, or tried again, at `dueAt`; while a try runs, that is when it counts as lost.
 * - `done`: it is forgotten at `dueAt`.
 * - `parked`: given up at `dueAt`; an operator may look at it.
 */
export type Effect = Readonly<{
  status: 'claimed' | 'done' | 'parked';
  /** Where the event is in the log. */
  stream: string;
  revision: string;
  type: string;
  /** Tries begun. */
  attempts: number;
  /** Times in ms since the epoch. */
  claimedAt: number;
  dueAt: number;
  /** Why the last try failed, without personal data. */
  lastError: string | null;
}> &
  Readonly<{ [key: string]: Json }>;

/** An effect with what its next write is guarded by. */
export type StoredEffect = Readonly<{ id: string; version: number; effect: Effect }>;

import type { Command } from '../kernel/command.ts';
import type { Aggregate } from '../kernel/decider.ts';
import type { Event } from '../kernel/event.ts';
import type { Position } from '../kernel/position.ts';

/** What became of a command. */
export type Handled = Readonly<{
  /** What was decided and is durable now; empty: it was so already. */
  events: readonly Event[];
  /** Revision of the aggregate's last event afterwards; `null` when it has none. */
  revision: bigint | null;
  /** Position of the aggregate's last event afterwards; `null` when it has none. A read model that has reached it shows the outcome. */
  position: Position | null;
}>;

/** An aggregate as it stands. */
export type Looked<State> = Readonly<{ state: State; revision: bigint | null; position: Position | null }>;

export type HandleOptions = Readonly<{
  /** The revision the caller saw (`If-Match`), `null`: none yet. Refused with `revision-mismatch` when the stream is elsewhere. */
  expected?: bigint | null;
  /**
   * The command may have been handled before, not earlier than behind this revision (-1: the start of the stream).
   * The stream is then searched for its id first, and the earlier outcome answered.
   */
  handledSince?: bigint;
}>;

/** The one way to change an aggregate. One is made per node by `createCommandHandler`. */
export interface CommandHandler {
  /**
   * Loads the aggregate, decides, appends with the revision decided on, and answers once that is durable.
   * Throws the decider's `Refusal` (never one from stale state), `unavailable` (nothing was written) or `outcome-unknown`
   * (it may have been: repeat it with the same ids).
   */
  handle<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    id: string,
    command: C,
    options?: HandleOptions,
  ): Promise<Handled>;

  /**
   * The aggregate's state, to be looked at and not decided on. `cached` may be stale by what other nodes appended; `fresh` reads the tail first.
   */
  look<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    id: string,
    how: 'cached' | 'fresh',
  ): Promise<Looked<State>>;

  /** Waits for what is under way and ends. */
  close(): Promise<void>;
}

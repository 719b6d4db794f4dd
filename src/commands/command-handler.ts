import type { Command } from '../kernel/command.ts';
import type { Aggregate } from '../kernel/decider.ts';
import type { Event } from '../kernel/event.ts';
import type { Position } from '../kernel/position.ts';

/** The outcome of a command. */
export type Handled = Readonly<{
  /** What was decided and is durable now; empty when nothing had to change. */
  events: readonly Event[];
  /** Revision of the aggregate's last event afterwards; `null` when it has none. */
  revision: bigint | null;
  /** Position of the aggregate's last event afterwards; `null` when it has none. A read model that has reached it shows the outcome. */
  position: Position | null;
}>;

/** The current state of an aggregate. */
export type LoadedAggregate<State> = Readonly<{ state: State; revision: bigint | null; position: Position | null }>;

export type HandleOptions = Readonly<{
  /** The revisions that the caller accepts (`If-Match`). Refused with `revision-mismatch` when the stream has another one. */
  expected?: readonly bigint[];
  /**
   * The command may have been handled before, after this revision (-1: the start of the stream). The stream is then searched for its id first, and
   * the earlier outcome returned.
   */
  handledSince?: bigint;
}>;

/** The one way to change an aggregate. One is made per node by `createCommandHandler`. */
export interface CommandHandler {
  /**
   * Loads the aggregate, decides, appends with the revision decided on, and resolves once that is durable.
   * Throws the decider's `Refusal` (never one from stale state), `unavailable` (nothing was written), `outcome-unknown` (it may have been: repeat it
   * with the same ids), or `unauthenticated` when it would write personal data of a person who was erased.
   */
  handle<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    id: string,
    command: C,
    options?: HandleOptions,
  ): Promise<Handled>;

  /**
   * The aggregate's state, to be read and not decided on. `cached` may lack what other nodes appended; `fresh` reads the stream's tail first.
   */
  load<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    id: string,
    how: 'cached' | 'fresh',
  ): Promise<LoadedAggregate<State>>;

  /** Waits for the commands in progress and ends. */
  close(): Promise<void>;
}

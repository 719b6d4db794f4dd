import type { Command } from './command.ts';
import type { Event } from './event.ts';
import type { Json } from './json.ts';

/**
 * The rules of one kind of aggregate. Both functions are pure.
 * `decide` returns the new events, `[]` when nothing has to change; it throws a `Refusal` for a command that breaks a rule.
 * `evolve` returns the state after an event without changing the given one. It never throws: a recorded event is a fact.
 */
export type Decider<State, C extends Command<string, unknown>, E extends Event> = Readonly<{
  initialState: State;
  decide(command: C, state: State): readonly E[];
  evolve(state: State, event: E): State;
}>;

/** A decider with what command handling needs in addition to the rules: the category of its streams and the format of its snapshots. */
export type Aggregate<State, C extends Command<string, unknown>, E extends Event> = Decider<State, C, E> &
  Readonly<{
    /** Streams are named `<category>-<id>`. */
    category: string;
    /** Must be increased when the state, `evolve` or an upcaster changes: snapshots of other versions are ignored. */
    snapshotVersion: number;
    /** The state as JSON, such that `thaw(freeze(state))` equals `state`. */
    freeze(state: State): Json;
    thaw(frozen: Json): State;
    /** The state contains personal data: it is kept in memory and never written as a snapshot. Default `false`. */
    isPersonal?: boolean;
    /** Approximate memory of a state, in bytes, by which caches are limited. Must be cheap to compute. */
    weight(state: State): number;
    /** For streams that would otherwise grow without end; see `commands/books.ts`. */
    books?: BooksRule<State>;
  }>;

/** When the books of a stream are closed, and what may be removed from it then. */
export type BooksRule<State> = Readonly<{
  /** Events between two closings. */
  every: bigint;
  /** How many of the latest events the state can be folded from, at least 1. Events of types that are unknown here are not counted. */
  needed(state: State): number;
  /** Whether this is the first of those events: nothing is removed unless it is, so that events of later versions do no harm. */
  isFirstNeeded(state: State, event: Event): boolean;
}>;

/** The state after a sequence of events. */
export function fold<State, E extends Event>(
  decider: Pick<Decider<State, never, E>, 'initialState' | 'evolve'>,
  events: readonly E[],
  from: State = decider.initialState,
): State {
  return events.reduce((state, event) => decider.evolve(state, event), from);
}

import type { Command } from './command.ts';
import type { Event } from './event.ts';
import type { Json } from './json.ts';

/**
 * The rules of one kind of aggregate. Both functions are pure and total.
 * `decide` gives the events that follow; `[]` means "already so"; a broken rule throws a `Refusal`.
 * `evolve` gives the state after an event, leaves the one it was given as it is, and never refuses: what happened, happened.
 */
export type Decider<State, C extends Command<string, unknown>, E extends Event> = Readonly<{
  initialState: State;
  decide(command: C, state: State): readonly E[];
  evolve(state: State, event: E): State;
}>;

/** A decider with what the command path needs around it: the category of its streams and the form of its snapshots. */
export type Aggregate<State, C extends Command<string, unknown>, E extends Event> = Decider<State, C, E> &
  Readonly<{
    /** Streams are named `<category>-<id>`. */
    category: string;
    /** Raised whenever state, evolve or an upcaster changes: older snapshots are then ignored. */
    snapshotVersion: number;
    /** State as JSON, so that `thaw(freeze(state))` equals it. */
    freeze(state: State): Json;
    thaw(frozen: Json): State;
    /** How much memory a state holds, in entries of about 200 bytes; what caches count by. Cheap. */
    weight(state: State): number;
  }>;

/** State after a history. */
export function fold<State, E extends Event>(
  decider: Pick<Decider<State, never, E>, 'initialState' | 'evolve'>,
  events: readonly E[],
  from: State = decider.initialState,
): State {
  return events.reduce((state, event) => decider.evolve(state, event), from);
}

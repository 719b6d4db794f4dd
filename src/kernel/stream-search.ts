import { Refusal, type RefusalCode } from './errors.ts';
import type { Event } from './event.ts';

/** What a decider has to know of older events that its state no longer holds. The command path searches the stream for it, outside of its turn. */
export type StreamSearch = Readonly<{
  /** The events to be searched, by their numbers, inclusive and ascending. */
  ranges: readonly Readonly<{ first: number; last: number }>[];
  /** The number of an event, `undefined` for events without one. Of the events that have one, each has the number of the one before plus 1, from 1. */
  numberOf(event: Event): number | undefined;
  /** Why the command is refused if this event is in the stream; `null` when it is not. */
  refusal(event: Event): Refusal | null;
  /** The command to decide when no event refused it; of the same type as the one that was searched for. */
  searched: unknown;
}>;

/** A command is refused unless a search of its stream shows that it need not be. */
export class SearchNeeded extends Refusal {
  readonly search: StreamSearch;

  constructor(code: RefusalCode, message: string, search: StreamSearch) {
    super(code, message);
    this.search = search;
  }
}

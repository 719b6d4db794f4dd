import { isStoreError, StoreError } from '../kernel/errors.ts';
import type { Position } from '../kernel/position.ts';
import type { EventLog } from '../log/event-log.ts';
import type { Clock } from '../ports/clock.ts';

/** Revisions of one stream that are read together. */
type Gathered = { first: bigint; last: bigint; readonly positions: Promise<ReadonlyMap<bigint, Position>> };

/**
 * Reads the positions of events that were appended together with later ones: a store answers an append with the position of its last event only. The
 * commands of one append ask at the same time, so that one read serves them all.
 */
export class OwnPositions {
  readonly #log: EventLog;
  readonly #clock: Clock;
  readonly #gathering = new Map<string, Gathered>();

  constructor({ log, clock }: { log: EventLog; clock: Clock }) {
    this.#log = log;
    this.#clock = clock;
  }

  /** The position of an event that was written; `null` when it was removed since. Throws `UNKNOWN` when it cannot be read. */
  async at(stream: string, revision: bigint): Promise<Position | null> {
    const gathered = this.#gathering.get(stream) ?? this.#begin(stream, revision);
    if (revision < gathered.first) gathered.first = revision;
    if (revision > gathered.last) gathered.last = revision;
    try {
      return (await gathered.positions).get(revision) ?? null;
    } catch (error) {
      // It was written; a repetition finds it.
      if (!isStoreError(error)) throw error;
      throw new StoreError('UNKNOWN', 'the position of an event could not be read', { cause: error });
    }
  }

  #begin(stream: string, revision: bigint): Gathered {
    const positions = this.#clock.nextTurn().then(() => {
      this.#gathering.delete(stream);
      return this.#read(stream, gathered);
    });
    const gathered: Gathered = { first: revision, last: revision, positions };
    this.#gathering.set(stream, gathered);
    return gathered;
  }

  /** An append has a few hundred events at most, and those of few appends are asked for in one turn of the event loop. */
  async #read(stream: string, { first, last }: Gathered): Promise<ReadonlyMap<bigint, Position>> {
    const positions = new Map<bigint, Position>();
    for (let [from, end] = [first, false]; !end && from <= last; ) {
      const limit = Number(last - from) + 1;
      const slice = await this.#log.readStream(stream, { from, limit: Math.min(limit, 4_096), personal: 'omit' });
      for (const { revision, position } of slice.events) positions.set(revision, position);
      from = (slice.events.at(-1)?.revision ?? from) + 1n;
      end = slice.end;
    }
    return positions;
  }
}

import { LRUCache } from 'lru-cache';
import type { Command } from '../kernel/command.ts';
import type { Aggregate } from '../kernel/decider.ts';
import type { Event, RecordedEvent } from '../kernel/event.ts';
import type { Position } from '../kernel/position.ts';
import type { Clock } from '../ports/clock.ts';
import type { EventStore } from '../ports/event-store.ts';
import type { SnapshotMark, Snapshots } from './snapshots.ts';

/** Weight of all cached states together; see `Aggregate.weight`. About 200 bytes each. */
const WEIGHT_MAX = 1_000_000;
const PAGE = 4_096;

/** An aggregate folded up to its event `eventId`. */
export type Loaded<State> = Readonly<{
  state: State;
  revision: bigint | null;
  position: Position | null;
  eventId: string | null;
  snapshot: SnapshotMark;
}>;

/** States of aggregates: the hot ones in memory, the others by snapshot and the tail of the stream. */
export class AggregateCache {
  readonly #events: EventStore;
  readonly #snapshots: Snapshots;
  readonly #clock: Clock;
  readonly #states = new LRUCache<string, Loaded<unknown>>({ maxSize: WEIGHT_MAX });
  readonly #loading = new Map<string, Promise<Loaded<unknown>>>();

  constructor(deps: { events: EventStore; snapshots: Snapshots; clock: Clock }) {
    this.#events = deps.events;
    this.#snapshots = deps.snapshots;
    this.#clock = deps.clock;
  }

  /** The cached state, else the loaded one; `fresh` when the stream was read for it just now. */
  async load<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    stream: string,
  ): Promise<{ loaded: Loaded<State>; fresh: boolean }> {
    // A stream has the states of its category's aggregate, and no other.
    const cached = this.#states.get(stream) as Loaded<State> | undefined;
    if (cached !== undefined) return { loaded: cached, fresh: false };
    const under = this.#loading.get(stream) as Promise<Loaded<State>> | undefined;
    if (under !== undefined) return { loaded: await under, fresh: false };
    const task = this.#read(aggregate, stream).finally(() => this.#loading.delete(stream));
    this.#loading.set(stream, task);
    return { loaded: await task, fresh: true };
  }

  /** Reads what came behind a state and folds it in; `visit` sees each of the events. */
  async advance<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    stream: string,
    from: Loaded<State>,
    visit: (event: RecordedEvent) => void = () => {},
  ): Promise<Loaded<State>> {
    let loaded = from;
    for (let end = false; !end; ) {
      const slice = await this.#events.readStream(stream, { from: (loaded.revision ?? -1n) + 1n, limit: PAGE });
      loaded = foldSlice(aggregate, loaded, slice.events);
      slice.events.forEach(visit);
      end = slice.end;
    }
    if (loaded !== from) this.keep(aggregate, stream, loaded);
    return loaded;
  }

  /** Keeps a state unless a later one is kept already, and has its snapshot written when that is due. */
  keep<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    stream: string,
    loaded: Loaded<State>,
  ): void {
    const { state, revision, position, eventId } = loaded;
    if (revision === null || position === null || eventId === null) return;
    const kept = this.#states.peek(stream)?.revision ?? null;
    if (kept !== null && kept > revision) return;
    const mark = this.#snapshots.consider(aggregate, stream, { state, revision, position, eventId }, loaded.snapshot);
    const entry = mark === loaded.snapshot ? loaded : { ...loaded, snapshot: mark };
    this.#states.set(stream, entry, { size: 1 + aggregate.weight(state) });
  }

  /** Drops a state that may be wrong. */
  forget(stream: string): void {
    this.#states.delete(stream);
  }

  async #read<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    stream: string,
  ): Promise<Loaded<State>> {
    const nothing = this.#nothing(aggregate);
    const snapshot = await this.#snapshots.read(aggregate, stream);
    if (snapshot !== null) {
      // A log restored from a backup may end before the snapshot, or go on differently: its event must still stand there.
      const at = await this.#events.readStream(stream, { from: snapshot.revision, limit: 1 });
      if (at.events[0]?.revision === snapshot.revision && at.events[0].id === snapshot.eventId) {
        const from = { ...snapshot, snapshot: { revision: snapshot.revision, atMs: nothing.snapshot.atMs } };
        const loaded = await this.advance(aggregate, stream, from);
        if (loaded === from) this.keep(aggregate, stream, loaded);
        return loaded;
      }
    }
    return this.advance(aggregate, stream, nothing);
  }

  #nothing<State>(aggregate: Pick<Aggregate<State, never, never>, 'initialState'>): Loaded<State> {
    const snapshot = { revision: -1n, atMs: this.#clock.monotonic() };
    return { state: aggregate.initialState, revision: null, position: null, eventId: null, snapshot };
  }
}

function foldSlice<State, C extends Command<string, unknown>, E extends Event>(
  aggregate: Aggregate<State, C, E>,
  loaded: Loaded<State>,
  events: readonly RecordedEvent[],
): Loaded<State> {
  const last = events.at(-1);
  if (last === undefined) return loaded;
  // The registry admits only the aggregate's own events to its category; evolve passes over those it does not know.
  const state = events.reduce((now, event) => aggregate.evolve(now, event as unknown as E), loaded.state);
  return { ...loaded, state, revision: last.revision, position: last.position, eventId: last.id };
}

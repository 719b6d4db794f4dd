import { LRUCache } from 'lru-cache';
import type { Command } from '../kernel/command.ts';
import type { Aggregate } from '../kernel/decider.ts';
import type { Event, RecordedEvent } from '../kernel/event.ts';
import type { Position } from '../kernel/position.ts';
import type { EventLog } from '../log/event-log.ts';
import type { Clock } from '../ports/clock.ts';
import { createLru } from '../ports/lru.ts';
import type { SnapshotMark, Snapshots } from './snapshots.ts';

/**
 * Memory of all cached states together, in bytes: about 2,000 conversations of 1,000 messages, 250 that know as many messages as they can, or 30,000
 * users with their sessions. Others are read from their snapshots.
 */
const CACHE_BYTES = 64 * 1024 * 1024;
/** What an entry takes beside its state, in bytes: its key, the place of its last event, and the cache's own tables. */
const ENTRY_BYTES = 500;
const PAGE = 4_096;
/** Streams whose last drop is remembered, for states that are still being read or appended to. */
const DROPPED_MAX = 10_000;

/** An aggregate folded up to its event `eventId`. */
export type LoadedState<State> = Readonly<{
  state: State;
  revision: bigint | null;
  position: Position | null;
  eventId: string | null;
  /** The last revision that was read from the log, as opposed to those that this node appended since. */
  readTo: bigint | null;
  snapshot: SnapshotMark;
  /** How often states of this stream had been dropped when this one was read. */
  drops: number;
}>;

/** States of aggregates: recently used ones in memory, the others by snapshot and the tail of the stream. */
export class AggregateCache {
  readonly #log: EventLog;
  readonly #snapshots: Snapshots;
  readonly #clock: Clock;
  readonly #states = new LRUCache<string, LoadedState<unknown>>({ maxSize: CACHE_BYTES });
  readonly #drops = createLru<number>(DROPPED_MAX);
  /** How often all states were dropped. */
  #dropsOfAll = 0;
  readonly #loading = new Map<string, Promise<LoadedState<unknown>>>();

  constructor(deps: { log: EventLog; snapshots: Snapshots; clock: Clock }) {
    this.#log = deps.log;
    this.#snapshots = deps.snapshots;
    this.#clock = deps.clock;
  }

  /** The cached state, else the loaded one; `fresh` when the stream was read for it in this call. */
  async load<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    stream: string,
  ): Promise<{ loaded: LoadedState<State>; fresh: boolean }> {
    // A stream has the states of its category's aggregate, and no other.
    const cached = this.#states.get(stream) as LoadedState<State> | undefined;
    if (cached !== undefined) return { loaded: cached, fresh: false };
    const loading = this.#loading.get(stream) as Promise<LoadedState<State>> | undefined;
    if (loading !== undefined) return { loaded: await loading, fresh: false };
    const task = this.#read(aggregate, stream).finally(() => this.#loading.delete(stream));
    this.#loading.set(stream, task);
    return { loaded: await task, fresh: true };
  }

  /**
   * Reads what comes after a state and folds it in; `visit` is called with each of the events, whose personal fields are `null` unless the state is
   * personal. When the stream does not have the state's last event any more, it is read from its start: retention has removed the event, or the log was
   * restored from an older copy, which may continue differently.
   */
  async advance<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    stream: string,
    start: LoadedState<State>,
    visit: (event: RecordedEvent) => void = () => {},
  ): Promise<LoadedState<State>> {
    const loaded = await this.#continue(aggregate, stream, start, visit);
    if (loaded !== null) return loaded;
    this.forget(stream);
    return this.advance(aggregate, stream, this.#empty(aggregate, stream), visit);
  }

  /** See `advance`; `null` when the stream does not have the state's last event. */
  async #continue<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    stream: string,
    start: LoadedState<State>,
    visit: (event: RecordedEvent) => void,
  ): Promise<LoadedState<State> | null> {
    let loaded = start;
    // A state without text needs no personal keys: it can be loaded while they are unavailable.
    const personal = aggregate.isPersonal === true ? 'open' : 'omit';
    let count = 0;
    let from = start.revision ?? 0n;
    for (let end = false; !end; ) {
      const slice = await this.#log.readStream(stream, { from, limit: PAGE, personal });
      const isFirst = from === start.revision;
      if (isFirst && !continues(slice.events[0], start)) return null;
      const events = isFirst ? slice.events.slice(1) : slice.events;
      loaded = foldSlice(aggregate, loaded, events);
      events.forEach(visit);
      count += events.length;
      from = (loaded.revision ?? -1n) + 1n;
      end = slice.end;
    }
    if (loaded !== start) this.keep(aggregate, stream, loaded, count);
    return loaded;
  }

  /**
   * Keeps a state unless a later one is kept or it was dropped meanwhile, and writes its snapshot when that is due. `read`: how many events were read
   * for it.
   */
  keep<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    stream: string,
    loaded: LoadedState<State>,
    read = 0,
  ): void {
    const { state, revision, position, eventId } = loaded;
    if (revision === null || position === null || eventId === null) return;
    if (this.#dropsOf(stream) > loaded.drops) return;
    const kept = this.#states.peek(stream)?.revision ?? null;
    if (kept !== null && kept > revision) return;
    const current = { state, revision, position, eventId };
    const mark = this.#snapshots.consider(aggregate, stream, current, { last: loaded.snapshot, read });
    const entry = mark === loaded.snapshot ? loaded : { ...loaded, snapshot: mark };
    this.#states.set(stream, entry, { size: ENTRY_BYTES + aggregate.weight(state) });
  }

  /** Drops a state that may be wrong, also one that is being read or appended to. */
  forget(stream: string): void {
    this.#states.delete(stream);
    this.#drops.set(stream, (this.#drops.peek(stream) ?? 0) + 1);
  }

  /** Drops all states, as `forget` does: the log was restored from an older copy. */
  forgetAll(): void {
    this.#states.clear();
    this.#dropsOfAll++;
  }

  #dropsOf(stream: string): number {
    return this.#dropsOfAll + (this.#drops.peek(stream) ?? 0);
  }

  async #read<State, C extends Command<string, unknown>, E extends Event>(
    aggregate: Aggregate<State, C, E>,
    stream: string,
  ): Promise<LoadedState<State>> {
    const empty = this.#empty(aggregate, stream);
    const snapshot = await this.#snapshots.read(aggregate, stream);
    if (snapshot !== null) {
      const { drops } = empty;
      const mark = { revision: snapshot.revision, atMs: empty.snapshot.atMs };
      const from = { ...snapshot, readTo: snapshot.revision, snapshot: mark, drops };
      const loaded = await this.#continue(aggregate, stream, from, () => {});
      if (loaded === from) this.keep(aggregate, stream, loaded);
      if (loaded !== null) return loaded;
      this.#snapshots.discard(stream, snapshot.position);
    }
    return this.advance(aggregate, stream, empty);
  }

  #empty<State>(aggregate: Pick<Aggregate<State, never, never>, 'initialState'>, stream: string): LoadedState<State> {
    const snapshot = { revision: -1n, atMs: this.#clock.monotonic() };
    const drops = this.#dropsOf(stream);
    const { initialState: state } = aggregate;
    return { state, revision: null, position: null, eventId: null, readTo: null, snapshot, drops };
  }
}

/** Whether the stream goes on from a state: its last event is this one. */
function continues(event: RecordedEvent | undefined, { revision, eventId }: LoadedState<unknown>): boolean {
  return event !== undefined && event.revision === revision && event.id === eventId;
}

function foldSlice<State, C extends Command<string, unknown>, E extends Event>(
  aggregate: Aggregate<State, C, E>,
  loaded: LoadedState<State>,
  events: readonly RecordedEvent[],
): LoadedState<State> {
  const last = events.at(-1);
  if (last === undefined) return loaded;
  // Only an aggregate's own events are appended to its category; evolve ignores types that it does not know.
  const state = events.reduce((now, event) => aggregate.evolve(now, event as unknown as E), loaded.state);
  const { revision, position, id: eventId } = last;
  return { ...loaded, state, revision, position, eventId, readTo: revision };
}

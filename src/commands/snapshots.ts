import type { Aggregate } from '../kernel/decider.ts';
import { isStoreError, StoreError } from '../kernel/errors.ts';
import type { Json } from '../kernel/json.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Position } from '../kernel/position.ts';
import type { Clock } from '../ports/clock.ts';
import type { DocumentStore, StoredDocument } from '../ports/documents.ts';
import { createLru } from '../ports/lru.ts';
import { LATE, within } from '../ports/within.ts';

/**
 * A stream's snapshot is written at most this often, in ms, and only when this many events came since the last one; at once when a load had to read
 * more than that, because the state may be evicted before it is due.
 */
const PAUSE_MS = 30_000;
const EVENTS_BETWEEN = 200;
/** Snapshots being written at once: those that are due, and those after a load. Further ones wait for a later event, or for the next load. */
const WRITES_MAX = { due: 2, loaded: 16 };
/** How long a command waits for a snapshot, and how long none is read after one did not come, in ms. */
const WAIT_MS = 1_000;
const SKIP_MS = 5_000;
/** Snapshots to be replaced that are remembered. */
const DISCARDED_MAX = 10_000;
const COLLECTION = 'snapshots';

/** State after the event `eventId` at the given revision and position. */
export type Snapshot<State> = Readonly<{ state: State; revision: bigint; position: Position; eventId: string }>;

type AnyAggregate<State> = Pick<Aggregate<State, never, never>, 'snapshotVersion' | 'isPersonal' | 'freeze' | 'thaw'>;

/** Snapshots of aggregates: a cache of each stream's own fold. Losing one costs time only. */
export interface Snapshots {
  /** The latest snapshot of the current version, if any. With a store that is unavailable or slow there is none, for some seconds. */
  read<State>(aggregate: AnyAggregate<State>, stream: string): Promise<Snapshot<State> | null>;
  /** Writes one in the background when it is due. `read`: how many events were read for it. Never throws, never waits. */
  consider<State>(
    aggregate: AnyAggregate<State>,
    stream: string,
    snapshot: Snapshot<State>,
    since: Readonly<{ last: SnapshotMark; read: number }>,
  ): SnapshotMark;
  /** The stream does not go on from the snapshot of this position: the next one replaces it, although it may be of an earlier position. */
  discard(stream: string, position: Position): void;
  /** Waits for the writes in progress. */
  close(): Promise<void>;
}

/** When, and at which revision, a stream's snapshot was last read or written. */
export type SnapshotMark = Readonly<{ revision: bigint; atMs: number }>;

export async function createSnapshots(deps: {
  documents: DocumentStore;
  clock: Clock;
  logger: Logger;
}): Promise<Snapshots> {
  const { documents, clock, logger } = deps;
  const writing = new Set<Promise<void>>();
  const discarded = createLru<Position>(DISCARDED_MAX);
  let skippedUntil = Number.NEGATIVE_INFINITY;
  await documents.define([{ name: COLLECTION, indexes: [] }]);

  async function write(stream: string, version: number, frozen: Json, of: Snapshot<unknown>): Promise<void> {
    const body = { version, revision: String(of.revision), eventId: of.eventId, state: frozen };
    const guard = discarded.peek(stream) ?? 'older';
    discarded.delete(stream);
    try {
      await documents.apply({ writes: [{ collection: COLLECTION, id: stream, position: of.position, guard, body }] });
    } catch (error) {
      logger.warn({ err: error, stream }, 'snapshot not written');
    }
  }

  /** Commands work without documents, so they do not wait for a store that is unavailable. */
  async function find(stream: string): Promise<StoredDocument | undefined> {
    if (clock.monotonic() < skippedUntil) return undefined;
    try {
      const found = await within(clock, WAIT_MS, documents.getMany(COLLECTION, [stream]));
      if (found === LATE) throw new StoreError('UNAVAILABLE', `the snapshot did not come within ${WAIT_MS} ms`);
      return found.get(stream);
    } catch (error) {
      if (!isStoreError(error, 'UNAVAILABLE')) throw error;
      logger.warn({ err: error, stream }, 'a snapshot could not be read; none is read for some seconds');
      skippedUntil = clock.monotonic() + SKIP_MS;
      return undefined;
    }
  }

  return {
    async read<State>(aggregate: AnyAggregate<State>, stream: string) {
      const document = await find(stream);
      const body = document?.body;
      if (document === undefined || body?.version !== aggregate.snapshotVersion) return null;
      return {
        state: aggregate.thaw(body.state ?? null),
        revision: BigInt(String(body.revision)),
        position: document.position,
        eventId: String(body.eventId),
      };
    },

    consider(aggregate, stream, snapshot, { last, read }) {
      const now = clock.monotonic();
      const isLoaded = read > EVENTS_BETWEEN;
      const isDue = snapshot.revision - last.revision >= EVENTS_BETWEEN && now - last.atMs >= PAUSE_MS;
      if ((!isLoaded && !isDue) || aggregate.isPersonal === true) return last;
      if (writing.size >= (isLoaded ? WRITES_MAX.loaded : WRITES_MAX.due)) return last;
      const task = write(stream, aggregate.snapshotVersion, aggregate.freeze(snapshot.state), snapshot);
      writing.add(task);
      void task.finally(() => writing.delete(task));
      return { revision: snapshot.revision, atMs: now };
    },

    discard: (stream, position) => void discarded.set(stream, position),

    async close() {
      await Promise.all(writing);
    },
  };
}

import { isStoreError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Position } from '../kernel/position.ts';
import type { Clock } from '../ports/clock.ts';
import type { CollectionDefinition, DocumentStore } from '../ports/documents.ts';

const LEASES: CollectionDefinition = { name: 'leases', indexes: [] };

/** A lease that did not beat for this long, in ms, may be taken over. With the pace of looking at it, take-over is done within 12 s. */
export const LEASE_TTL_MS = 10_000;
const BEAT_EVERY_MS = 3_000;
const LOOK_EVERY_MS = 1_000;

/** The right to be the one that does something, until `lost` is aborted. */
export type HeldLease = Readonly<{
  /** Higher than that of everyone who held the lease before. */
  fence: number;
  lost: AbortSignal;
  /** Gives it up, so that another can take it at once; waits for the beat that is under way. */
  release(): Promise<void>;
}>;

/**
 * Chooses one among nodes through a document that its holder changes every few seconds. Nobody compares clocks: a contender takes the lease
 * when it has seen the same beat for the ttl by its own monotonic clock. A holder that was stopped in its tracks may still believe in it: what it
 * does has to be guarded by the fence.
 */
export interface Lease {
  /** Waits for the lease; `null` once the signal is aborted. A store that is away is asked again. */
  acquire(signal: AbortSignal): Promise<HeldLease | null>;
  /** Why the lease cannot be asked for, `null` when it can. */
  readonly unavailable: string | null;
}

export type LeaseOptions = Readonly<{
  documents: DocumentStore;
  clock: Clock;
  logger: Logger;
  /** What the lease is for. */
  name: string;
  /** Unique among the living. Who finds its own name there was killed holding it, and goes on at once. */
  owner: string;
}>;

type LeaseBody = Readonly<{ owner: string | null; fence: number; beat: number }>;
type Standing = Readonly<{ position: Position; body: LeaseBody }>;

export function createLease({ documents, clock, logger, name, owner }: LeaseOptions): Lease {
  let unavailable: string | null = null;
  let isDefined = false;
  /** The last beat seen, and when it was first seen. */
  let seen: Readonly<{ position: Position; at: number }> | null = null;

  const read = async (): Promise<Standing | null> => {
    const document = (await documents.getMany(LEASES.name, [name])).get(name);
    // Only `write` writes this collection.
    return document === undefined ? null : { position: document.position, body: document.body as LeaseBody };
  };

  /** `null`: somebody else was faster. */
  const write = async (before: Standing | null, holder: string | null, fence: number): Promise<Standing | null> => {
    const beat = (before?.body.beat ?? 0) + 1;
    const position = String(beat).padStart(16, '0');
    const body: LeaseBody = { owner: holder, fence, beat };
    const guard = before?.position ?? null;
    const { rejected } = await documents.apply({
      writes: [{ collection: LEASES.name, id: name, position, guard, body }],
    });
    return rejected.length === 0 ? { position, body } : null;
  };

  const isFree = (standing: Standing | null): boolean => {
    if (standing === null || standing.body.owner === null || standing.body.owner === owner) return true;
    const now = clock.monotonic();
    if (seen?.position !== standing.position) seen = { position: standing.position, at: now };
    return now - seen.at >= LEASE_TTL_MS;
  };

  const tryOnce = async (): Promise<Standing | null> => {
    if (!isDefined) await documents.define([LEASES]);
    isDefined = true;
    const standing = await read();
    return isFree(standing) ? write(standing, owner, (standing?.body.fence ?? 0) + 1) : null;
  };

  const hold = (standing: Standing): HeldLease => {
    const { fence } = standing.body;
    const lost = new AbortController();
    const released = new AbortController();
    let held: Standing | null = standing;
    const beat = async (): Promise<void> => {
      let renewedAt = clock.monotonic();
      for (;;) {
        await clock.sleep(BEAT_EVERY_MS, released.signal);
        if (released.signal.aborted || held === null) return;
        try {
          const startedAt = clock.monotonic();
          // A beat whose answer was lost stands all the same: what counts is that it is still this holder's.
          const renewed: Standing | null = (await write(held, owner, fence)) ?? (await read());
          held = renewed?.body.owner === owner && renewed.body.fence === fence ? renewed : null;
          renewedAt = startedAt;
        } catch (error) {
          logger.warn({ err: error, lease: name }, 'lease not renewed');
          if (clock.monotonic() - renewedAt >= LEASE_TTL_MS) held = null;
        }
        if (held === null) return lost.abort();
      }
    };
    const beating = beat();
    return {
      fence,
      lost: lost.signal,
      async release() {
        released.abort();
        await beating;
        if (held === null) return;
        const mine = held;
        held = null;
        await write(mine, null, fence).catch((error: unknown) => {
          logger.warn({ err: error, lease: name }, 'lease not released: others take it over after its time');
        });
      },
    };
  };

  return {
    get unavailable() {
      return unavailable;
    },
    async acquire(signal) {
      while (!signal.aborted) {
        try {
          const standing = await tryOnce();
          unavailable = null;
          if (standing !== null) return hold(standing);
        } catch (error) {
          if (!isStoreError(error, 'UNAVAILABLE', 'UNKNOWN')) throw error;
          unavailable = error.message;
        }
        await clock.sleep(LOOK_EVERY_MS, signal);
      }
      return null;
    },
  };
}

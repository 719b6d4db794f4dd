import type { EffectQueue } from './effect-queue.ts';
import type { StoredEffect } from './reaction.ts';

/** Effects that are retried in one round. */
const ROUND = 256;

/** An effect that was given up, as operators see it. It contains no personal data. */
export type ParkedEffect = Readonly<{
  /** Name of the reaction. */
  reaction: string;
  /** The id of the event that the effect follows from. */
  id: string;
  type: string;
  stream: string;
  attempts: number;
  /** In ms since the epoch. */
  parkedAt: number;
  lastError: string | null;
}>;

/** The parked effects of one reaction, on any node: they are read and written in the document store. Every method may throw `UNAVAILABLE`. */
export interface ParkedEffects {
  readonly reaction: string;

  /** Those that were parked first, at most 4,096. */
  list(limit: number): Promise<readonly ParkedEffect[]>;

  /** How many there are, counted up to `cap`. */
  count(cap: number): Promise<number>;

  /**
   * Makes effects pending again, as if they were new, and returns the ids of those. An id that is unknown, not parked, or that another call is retrying
   * is not among them. `'all'`: every effect that is parked now.
   */
  retry(ids: readonly string[] | 'all'): Promise<readonly string[]>;
}

type Deps = Readonly<{
  reaction: string;
  queue: EffectQueue;
  now: () => number;
  /** Called when effects have become pending, for a worker of this process. */
  onPending: () => void;
}>;

export function createParkedEffects({ reaction, queue, now, onPending }: Deps): ParkedEffects {
  /** Resolves with `null` when it was changed meanwhile. */
  async function makePending(stored: StoredEffect): Promise<string | null> {
    const at = now();
    const changes = { status: 'pending', attempts: 0, createdAt: at, dueAt: at } as const;
    return (await queue.change(stored, changes)) === null ? null : stored.id;
  }

  async function retryAll(effects: readonly StoredEffect[]): Promise<readonly string[]> {
    const retried = await Promise.all(effects.map(makePending));
    return retried.filter((id) => id !== null);
  }

  async function retryEverything(): Promise<readonly string[]> {
    const startedAt = now();
    const retried: string[] = [];
    // Each round takes effects out of this list. One without any found only those that another call has just changed.
    for (let found = -1; found !== 0; ) {
      const round = await retryAll(await queue.due('parked', startedAt, ROUND));
      retried.push(...round);
      found = round.length;
    }
    return retried;
  }

  return {
    reaction,
    async list(limit) {
      const parked = await queue.due('parked', now(), limit);
      return parked.map(({ id, effect: { type, stream, attempts, dueAt, lastError } }) => {
        return { reaction, id, type, stream, attempts, parkedAt: dueAt, lastError };
      });
    },
    count: (cap) => queue.count('parked', cap),
    async retry(ids) {
      const retried = ids === 'all' ? await retryEverything() : await retryAll(await queue.parked(ids));
      if (retried.length > 0) onPending();
      return retried;
    },
  };
}

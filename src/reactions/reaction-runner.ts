import { isStoreError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Clock } from '../ports/clock.ts';
import type { DocumentStore } from '../ports/documents.ts';
import type { EventStore, SubscriptionBatch } from '../ports/event-store.ts';
import { Bell } from './bell.ts';
import { EffectQueue, type ReactionCheckpoint } from './effect-queue.ts';
import { workOff } from './effect-worker.ts';
import type { Reaction } from './reaction.ts';

/** Where nothing is claimed, the checkpoint is written at most so often, in ms. */
const CHECKPOINT_MS = 10_000;
/** The pause after a store failed, doubled each time up to the longest, in ms. */
const PAUSE_MS = 250;
const PAUSE_MAX_MS = 15_000;

/** Chooses one among nodes; `projections/lease.ts` makes them. */
export interface ReactionLease {
  /** Waits for the lease, which holds until `lost` is aborted; `null` once the signal is. */
  acquire(signal: AbortSignal): Promise<Readonly<{ lost: AbortSignal; release(): Promise<void> }> | null>;
}

type Deps = Readonly<{
  events: EventStore;
  documents: DocumentStore;
  clock: Clock;
  logger: Logger;
  lease: ReactionLease;
}>;

/** One reaction on this node. */
export interface ReactionRunner {
  /**
   * Notes where the log stands when the reaction is new. Every node does this before it takes requests, so that nothing asked of it is missed,
   * whichever node runs the reaction and whenever that starts.
   */
  prepare(): Promise<void>;

  /**
   * Runs whenever this node has the lease, until the signal is aborted, and outlives failures of the stores. Resolves when what was under way has ended,
   * within 10 s. Should two nodes believe in their lease, they are in each other's way and nothing worse.
   */
  run(signal: AbortSignal): Promise<void>;
}

export function createReactionRunner(deps: Deps, reaction: Reaction): ReactionRunner {
  const { events, documents, clock, logger, lease } = deps;
  const queue = new EffectQueue(documents, reaction);

  async function prepared(): Promise<ReactionCheckpoint> {
    await queue.define();
    const epoch = await events.epoch();
    const found = await queue.checkpoint();
    if (found?.epoch === epoch) return found;
    if (found !== null) logger.warn({ reaction: reaction.name }, 'this is another log; the reaction starts at its end');
    await queue.moveTo(await events.head(), epoch, found);
    // Whichever node was first.
    return prepared();
  }

  /** Claims an effect for each event as it comes. */
  async function follow(bell: Bell, signal: AbortSignal): Promise<void> {
    let checkpoint = await prepared();
    let writtenAt = clock.monotonic();
    const isWorthWriting = ({ events, position }: SubscriptionBatch): boolean =>
      events.length > 0 || (position !== checkpoint.position && clock.monotonic() - writtenAt >= CHECKPOINT_MS);

    const filter = { types: reaction.handles };
    for await (const batch of events.subscribe({ after: checkpoint.position, filter, signal })) {
      if (!isWorthWriting(batch)) continue;
      checkpoint = await queue.claim(batch.events, clock.now(), batch.position, checkpoint);
      writtenAt = clock.monotonic();
      if (batch.events.length > 0) bell.ring();
    }
  }

  /** Repeats what fails by a store, with growing pauses. */
  async function persist(what: string, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    let pause = PAUSE_MS;
    while (!signal.aborted) {
      const startedAt = clock.monotonic();
      try {
        await work();
      } catch (error) {
        if (signal.aborted && isStoreError(error)) return;
        if (clock.monotonic() - startedAt > PAUSE_MAX_MS) pause = PAUSE_MS;
        logger.warn({ reaction: reaction.name, err: error }, `${what} interrupted; it goes on after a pause`);
        await clock.sleep(pause * (0.5 + Math.random() / 2), signal);
        pause = Math.min(PAUSE_MAX_MS, pause * 2);
      }
    }
  }

  async function runLeased(stop: AbortSignal): Promise<void> {
    const held = await lease.acquire(stop);
    if (held === null) return;
    const signal = AbortSignal.any([stop, held.lost]);
    const bell = new Bell();
    await Promise.all([
      persist('following the log', () => follow(bell, signal), signal),
      persist('working off effects', () => workOff({ events, queue, reaction, clock, logger }, bell, signal), signal),
    ]);
    await held.release();
  }

  return {
    prepare: async () => {
      await prepared();
    },
    run: (signal) => persist('waiting for the lease', () => runLeased(signal), signal),
  };
}

import type { Logger } from '../kernel/logger.ts';
import type { Position } from '../kernel/position.ts';
import { type Anchor, anchorOf } from '../log/anchor.ts';
import { CHECKPOINTS, type Checkpoint, CheckpointWriter, startCheckpoint } from '../log/checkpoint.ts';
import type { EventBatch, EventLog } from '../log/event-log.ts';
import { Follower, type FollowerStatus, LogDiverged } from '../log/follower.ts';
import type { HeldPartition } from '../log/lease.ts';
import type { Clock } from '../ports/clock.ts';
import type { DocumentStore } from '../ports/documents.ts';
import type { Random } from '../ports/random.ts';
import { EffectQueue } from './effect-queue.ts';
import { performEffects } from './effect-worker.ts';
import { Notifier } from './notifier.ts';
import { createParkedEffects, type ParkedEffects } from './parked-effects.ts';
import type { Reaction } from './reaction.ts';

/** Where no effect is added, the checkpoint is stored at most this often, in ms. */
const CHECKPOINT_MS = 10_000;
/** Pause before a log that was restored from an older copy is followed, in ms. */
const DIVERGED_MS = 50;
/** Pause after the lease has failed, in ms. */
const RETRY_MS = 1_000;
/** How long a failure to start counts, in ms. A node on which it fails each time fails more often than that; otherwise another node has taken over. */
const FAILURE_MS = 15_000;

/** Chooses one among nodes: `Leases` of `src/log/lease.ts`, with one partition. */
export type ReactionLease = Readonly<{
  /** Why the lease cannot be read or renewed, `null` when it can. */
  readonly unavailable: string | null;
  run(signal: AbortSignal, work: (held: HeldPartition) => Promise<void>): Promise<void>;
}>;

type Deps = Readonly<{
  log: EventLog;
  documents: DocumentStore;
  clock: Clock;
  random: Random;
  logger: Logger;
  lease: ReactionLease;
}>;

/** One reaction on this node. */
export interface ReactionRunner {
  /**
   * Stores the end of the log as the start of a reaction that is new. Each node does this before it takes requests, so that no event of a request is
   * missed, on whichever node and whenever the reaction starts.
   */
  prepare(): Promise<void>;

  /**
   * Runs while this node has the lease, until the signal is aborted, also after failures. Never rejects. Resolves when the effects in progress have
   * ended, within 10 s. Two nodes that both believe to have the lease hinder each other and do no further harm.
   */
  run(signal: AbortSignal): Promise<void>;

  /**
   * The state of its follower; `null` while it does not run on this node because another one has the lease. When this node can neither take the lease
   * nor start the follower, the state is `retrying`.
   */
  status(): Promise<FollowerStatus | null>;

  /** Effects that were given up, whichever node performs the effects now. Only after `prepare`. */
  readonly parked: ParkedEffects;
}

export function createReactionRunner(deps: Deps, reaction: Reaction): ReactionRunner {
  const { log, documents, clock, logger, lease } = deps;
  const queue = new EffectQueue(documents, reaction.collection);
  const checkpointId = `reactions/${reaction.name}`;
  let follower: Follower | null = null;
  /** Notifies the worker of effects to perform. */
  const added = new Notifier();
  const parked = createParkedEffects({
    reaction: reaction.name,
    queue,
    now: () => clock.now(),
    onPending: () => added.notify(),
  });
  /** Whether it is to run on this node. */
  let isWanted = false;
  let failure: Readonly<{ message: string; at: number }> | null = null;

  const failed = (error: unknown): void => {
    failure = { message: error instanceof Error ? error.message : String(error), at: clock.monotonic() };
  };

  async function prepare(): Promise<void> {
    await documents.define([CHECKPOINTS]);
    await queue.define();
    const start = { ...(await endOfLog()), epoch: await log.epoch() };
    if ((await startCheckpoint(documents, checkpointId, start)) === 'replaced') {
      logger.warn({ reaction: reaction.name }, 'this is another log; the reaction starts at its end');
    }
  }

  /** After the last event; where that is hidden by records of other programs, after those. */
  async function endOfLog(): Promise<Checkpoint> {
    const last = await log.recordBefore(null);
    return last === null ? { position: await log.head(), anchor: null } : endOf(last);
  }

  async function runUnder(held: HeldPartition): Promise<void> {
    try {
      await follow(held);
    } catch (error) {
      // Without the lease, the work is that of another node.
      if (!held.lost.aborted) failed(error);
      throw error;
    }
  }

  async function follow({ fence, lost }: HeldPartition): Promise<void> {
    await prepare();
    const checkpoint = await CheckpointWriter.open(documents, checkpointId, {
      fence,
      writer: `${reaction.name}/${fence}`,
      former: 'many',
    });
    while (!lost.aborted) {
      try {
        return await followFrom(checkpoint, lost);
      } catch (error) {
        if (!(error instanceof LogDiverged)) throw error;
        await goBack(checkpoint, error.shared);
      }
      await clock.sleep(DIVERGED_MS, lost);
    }
  }

  /**
   * Goes on from the last event that the restored log is known to share with the one before. What was done for later ones that both have is known by
   * their effects, and not done again.
   */
  async function goBack(checkpoint: CheckpointWriter, shared: Anchor | null): Promise<void> {
    const to = shared === null ? await endOfLog() : endOf(shared);
    await checkpoint.rewind(to);
    const from =
      shared === null ? 'the end of the log, because no earlier event of it is known' : 'an event that both logs have';
    logger.error(
      { reaction: reaction.name, position: to.position },
      `the event log was restored from an older copy: the reaction goes on from ${from}`,
    );
  }

  async function followFrom(checkpoint: CheckpointWriter, lost: AbortSignal): Promise<void> {
    const ended = new AbortController();
    const signal = AbortSignal.any([lost, ended.signal]);
    follower = new Follower({
      ...deps,
      name: reaction.name,
      filter: { types: [...reaction.on.keys()] },
      checkpoint: () => checkpoint.current,
      handle: (batch) => handle(batch, checkpoint),
    });
    failure = null;
    try {
      // When one of them fails, both have to end.
      const tasks = [follower.run(signal), performEffects({ ...deps, queue, reaction }, added, signal)];
      for (const task of tasks) task.catch(() => ended.abort());
      await Promise.allSettled(tasks);
      await Promise.all(tasks);
    } finally {
      follower = null;
    }
  }

  /** Where no event has an effect, the anchor moves too, so that little is read again at the next start. */
  const lastBefore = async (position: Position | null): Promise<Anchor | null> =>
    position === null ? null : log.recordBefore(position);

  let storedAt = Number.NEGATIVE_INFINITY;

  /** Adds an effect for each event. */
  async function handle(batch: EventBatch, checkpoint: CheckpointWriter): Promise<undefined> {
    const { events, position } = batch;
    const isDue = position !== checkpoint.current.position && clock.monotonic() - storedAt >= CHECKPOINT_MS;
    if (events.length === 0 && !isDue) return;
    const last = events.at(-1);
    const to: Checkpoint = { position, anchor: last === undefined ? await lastBefore(position) : anchorOf(last) };
    await queue.add(events, clock.now(), { to, checkpoint, delays: reaction.delays });
    storedAt = clock.monotonic();
    if (events.length > 0) added.notify();
  }

  async function run(signal: AbortSignal): Promise<void> {
    isWanted = true;
    try {
      while (!signal.aborted) {
        try {
          return await lease.run(signal, runUnder);
        } catch (error) {
          failed(error);
          const fields = { err: error, reaction: reaction.name };
          logger.error(fields, 'a reaction stopped on this node and will be started again');
        }
        await clock.sleep(RETRY_MS, signal);
      }
    } finally {
      isWanted = false;
    }
  }

  async function status(): Promise<FollowerStatus | null> {
    if (follower !== null) return follower.status();
    const isRecent = failure !== null && clock.monotonic() - failure.at < FAILURE_MS;
    const lastError = lease.unavailable ?? (isRecent ? (failure?.message ?? null) : null);
    if (!isWanted || lastError === null) return null;
    return { name: reaction.name, state: 'retrying', position: null, lagEvents: null, lagMs: null, lastError };
  }

  return { prepare, run, status, parked };
}

/** The checkpoint after an event. */
const endOf = (anchor: Anchor | null): Checkpoint => ({ position: anchor?.position ?? null, anchor });

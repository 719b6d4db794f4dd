import { type BackOffSettings, backOffMs, STORE_BACK_OFF } from '../kernel/back-off.ts';
import { isStoreError, isUnavailable } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { EventLog } from '../log/event-log.ts';
import type { Clock } from '../ports/clock.ts';
import type { Random } from '../ports/random.ts';
import { within } from '../ports/within.ts';
import type { EffectQueue } from './effect-queue.ts';
import type { Notifier } from './notifier.ts';
import type { Effect, Reaction, StoredEffect } from './reaction.ts';

/** Effects attempted at once: a slow one does not hold up the others. */
const AT_ONCE = 4;
/** An attempt that has not ended after this long, in ms, counts as lost with its process. */
const LOST_MS = 2 * 60_000;
/** How long an attempt waits for stores that are unavailable, in ms; the rest of its time is for the effect itself. */
const STORES_MS = LOST_MS / 2;
/** Pauses between attempts at one effect. */
const EFFECT_BACK_OFF: BackOffSettings = { firstMs: 5_000, longestMs: 60 * 60_000 };
/** An effect that has failed for this long, in ms, is parked. */
const GIVE_UP_MS = 24 * 60 * 60_000;
/** How long the document of a performed effect is kept, in ms: longer than any replay of the log that a late checkpoint can cause. */
const KEPT_MS = 7 * 24 * 60 * 60_000;
/** How long an effect that was given up is kept for operators, in ms. */
const PARKED_KEPT_MS = 90 * 24 * 60 * 60_000;
/** The longest wait until the queue is read again, in ms. */
const LOOK_MS = 60_000;
/** Attempts that are in progress when the worker is stopped get this long, in ms; after that another worker repeats them. */
const GRACE_MS = 8_000;

export type WorkerDeps = Readonly<{
  log: EventLog;
  queue: EffectQueue;
  reaction: Reaction;
  clock: Clock;
  random: Random;
  logger: Logger;
}>;

/** Attempts in progress, by the id of their effect. */
type Running = Map<string, Promise<void>>;

/** Performs the effects that are due until the signal is aborted, also after failures of the stores. `added` notifies of new effects. */
export async function performEffects(deps: WorkerDeps, added: Notifier, signal: AbortSignal): Promise<void> {
  const { clock, random, logger, reaction } = deps;
  const running: Running = new Map();
  try {
    for (let failures = 0; !signal.aborted; ) {
      try {
        await performDue(deps, running, added, signal);
        failures = 0;
      } catch (error) {
        if (!isStoreError(error, 'UNAVAILABLE', 'UNKNOWN')) throw error;
        logger.warn({ reaction: reaction.name, err: error }, 'effects cannot be read; the worker will try again');
        await clock.sleep(backOffMs(STORE_BACK_OFF, failures++, random.fraction()), signal);
      }
    }
  } finally {
    await within(clock, GRACE_MS, Promise.all(running.values()));
  }
}

/** Starts what is due, or waits until something is. */
async function performDue(deps: WorkerDeps, running: Running, added: Notifier, signal: AbortSignal): Promise<void> {
  const { queue, clock } = deps;
  const notified = added.next();
  const found = running.size < AT_ONCE ? await queue.due('pending', clock.now(), AT_ONCE) : [];
  // After a jump of the clock, attempts of this process that are in progress seem to be lost.
  const due = found.filter(({ id }) => !running.has(id)).slice(0, AT_ONCE - running.size);
  for (const effect of due) {
    const begun = await begin(deps, effect, signal);
    if (begun === null) continue;
    const run = attempt(deps, begun, signal).finally(() => {
      running.delete(effect.id);
      added.notify();
    });
    running.set(effect.id, run);
  }
  if (due.length > 0) return;
  await queue.delete(await queue.due('done', clock.now()));
  await queue.delete(await queue.due('parked', clock.now() - PARKED_KEPT_MS));
  const nextAt = running.size < AT_ONCE && found.length === 0 ? await queue.nextDueAt() : null;
  await pause(deps, nextAt, notified, signal);
}

async function pause(
  { clock }: WorkerDeps,
  until: number | null,
  notified: Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const ms = Math.min(LOOK_MS, Math.max(0, (until ?? Number.POSITIVE_INFINITY) - clock.now()));
  const waited = new AbortController();
  await Promise.race([notified, clock.sleep(ms, AbortSignal.any([signal, waited.signal]))]);
  waited.abort();
}

/**
 * Stores that an attempt begins. `null` when another node changed the effect meanwhile, or too little of the attempt's time is left. When a call failed
 * although it was carried out, the effect would otherwise wait until the attempt counts as lost.
 */
async function begin(deps: WorkerDeps, effect: StoredEffect, signal: AbortSignal): Promise<StoredEffect | null> {
  const { queue, clock } = deps;
  const attempts = effect.effect.attempts + 1;
  const tried = new Set<number>();
  const begun = await untilAvailable(deps, signal, Number.POSITIVE_INFINITY, async (failures) => {
    const current = failures === 0 ? effect : await queue.get(effect.id);
    if (current?.version !== effect.version) {
      return current?.effect.attempts === attempts && tried.has(current.effect.dueAt) ? current : null;
    }
    const dueAt = clock.now() + LOST_MS;
    tried.add(dueAt);
    return queue.change(effect, { attempts, dueAt });
  });
  return begun === null || begun.effect.dueAt - clock.now() < STORES_MS ? null : begun;
}

/** One attempt and its outcome. Never rejects: an outcome that cannot be stored is repeated when the attempt counts as lost. */
async function attempt(deps: WorkerDeps, begun: StoredEffect, signal: AbortSignal): Promise<void> {
  const { queue, reaction, clock, logger } = deps;
  const { type, attempts, dueAt } = begun.effect;
  const fields = { reaction: reaction.name, eventId: begun.id, type, attempts };
  try {
    let outcome: Partial<Effect>;
    try {
      await untilAvailable(deps, signal, dueAt - STORES_MS, () => perform(deps, begun));
      outcome = { status: 'done', dueAt: clock.now() + KEPT_MS, lastError: null };
    } catch (error) {
      outcome = failed(deps, begun.effect, error);
      if (outcome.status === 'parked') logger.error({ ...fields, err: error }, 'an effect was given up and parked');
      else logger.warn({ ...fields, err: error }, 'an effect failed; it will be attempted again');
    }
    await untilAvailable(deps, signal, dueAt, async (failures) => {
      // A call that failed may have been carried out.
      if (failures === 0 || (await queue.get(begun.id))?.version === begun.version) await queue.change(begun, outcome);
    });
  } catch (error) {
    logger.warn({ ...fields, err: error }, 'the outcome of an effect was not stored; it will be attempted again');
  }
}

async function perform({ log, reaction, logger }: WorkerDeps, { id, effect }: StoredEffect): Promise<void> {
  const { stream, revision, type } = effect;
  const { events } = await log.readStream(stream, { from: BigInt(revision), limit: 1 });
  const event = events.find((candidate) => candidate.id === id);
  // Retention may have removed it, and with it the reason for the effect.
  if (event !== undefined) return reaction.on.get(type)?.(event);
  const fields = { reaction: reaction.name, eventId: id, type };
  logger.warn(fields, 'the event of an effect does not exist any more; nothing is done');
}

/**
 * Calls `work` again while a store is unavailable, with the number of failures so far, until `end` (`clock.now()`) or the signal. Throws what it throws
 * then, and any other error at once.
 */
async function untilAvailable<Result>(
  { clock, random }: WorkerDeps,
  signal: AbortSignal,
  end: number,
  work: (failures: number) => Promise<Result>,
): Promise<Result> {
  for (let failures = 0; ; failures++) {
    try {
      return await work(failures);
    } catch (error) {
      if (!isUnavailable(error) || signal.aborted || clock.now() >= end) throw error;
      await clock.sleep(backOffMs(STORE_BACK_OFF, failures, random.fraction()), signal);
    }
  }
}

/** The outcome of a failed attempt. One that could not reach a store is repeated at once, and does not count: the effect itself was not attempted. */
function failed({ reaction, clock, random }: WorkerDeps, effect: Effect, error: unknown): Partial<Effect> {
  const { attempts, createdAt } = effect;
  const lastError = (error instanceof Error ? error.message : String(error)).slice(0, 500);
  const now = clock.now();
  if (isUnavailable(error)) return { attempts: attempts - 1, dueAt: now, lastError };
  if (reaction.isPermanent(error) || now - createdAt >= GIVE_UP_MS) return { status: 'parked', dueAt: now, lastError };
  return { dueAt: now + Math.round(backOffMs(EFFECT_BACK_OFF, attempts - 1, random.fraction())), lastError };
}

import { type BackOffSettings, backOffMs } from '../kernel/back-off.ts';
import { isStoreError } from '../kernel/errors.ts';
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
/** Pauses between attempts at one effect. */
const EFFECT_BACK_OFF: BackOffSettings = { firstMs: 5_000, longestMs: 60 * 60_000 };
/** Pauses after a store failed. */
const STORE_BACK_OFF: BackOffSettings = { firstMs: 250, longestMs: 15_000 };
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

/** Performs the effects that are due until the signal is aborted, also after failures of the stores. `added` notifies of new effects. */
export async function performEffects(deps: WorkerDeps, added: Notifier, signal: AbortSignal): Promise<void> {
  const { clock, random, logger, reaction } = deps;
  const running = new Set<Promise<void>>();
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
    await within(clock, GRACE_MS, Promise.all(running));
  }
}

/** Starts what is due, or waits until something is. */
async function performDue(
  deps: WorkerDeps,
  running: Set<Promise<void>>,
  added: Notifier,
  signal: AbortSignal,
): Promise<void> {
  const { queue, clock } = deps;
  const notified = added.next();
  const due = running.size < AT_ONCE ? await queue.due('pending', clock.now(), AT_ONCE - running.size) : [];
  for (const effect of due) {
    const begun = await begin(deps, effect);
    if (begun === null) continue;
    const run: Promise<void> = attempt(deps, begun).finally(() => {
      running.delete(run);
      added.notify();
    });
    running.add(run);
  }
  if (due.length > 0) return;
  await queue.delete(await queue.due('done', clock.now()));
  await queue.delete(await queue.due('parked', clock.now() - PARKED_KEPT_MS));
  const nextAt = running.size < AT_ONCE ? await queue.nextDueAt() : null;
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

function begin({ queue, clock }: WorkerDeps, effect: StoredEffect): Promise<StoredEffect | null> {
  return queue.change(effect, { attempts: effect.effect.attempts + 1, dueAt: clock.now() + LOST_MS });
}

/** One attempt and its outcome. Never rejects: an outcome that cannot be stored is repeated when the attempt counts as lost. */
async function attempt(deps: WorkerDeps, begun: StoredEffect): Promise<void> {
  const { queue, reaction, clock, logger } = deps;
  const { stream, revision, type, attempts } = begun.effect;
  const fields = { reaction: reaction.name, eventId: begun.id, type, attempts };
  try {
    let outcome: Partial<Effect>;
    try {
      const { events } = await deps.log.readStream(stream, { from: BigInt(revision), limit: 1 });
      const event = events.find(({ id }) => id === begun.id);
      // Retention may have removed it, and with it the reason for the effect.
      if (event === undefined) logger.warn(fields, 'the event of an effect does not exist any more; nothing is done');
      else await reaction.on.get(type)?.(event);
      outcome = { status: 'done', dueAt: clock.now() + KEPT_MS, lastError: null };
    } catch (error) {
      outcome = failed(deps, begun.effect, error);
      if (outcome.status === 'parked') logger.error({ ...fields, err: error }, 'an effect was given up and parked');
      else logger.warn({ ...fields, err: error }, 'an effect failed; it will be attempted again');
    }
    await queue.change(begun, outcome);
  } catch (error) {
    logger.warn({ ...fields, err: error }, 'the outcome of an effect was not stored; it will be attempted again');
  }
}

function failed(
  { reaction, clock, random }: WorkerDeps,
  { attempts, createdAt }: Effect,
  error: unknown,
): Partial<Effect> {
  const lastError = (error instanceof Error ? error.message : String(error)).slice(0, 500);
  const now = clock.now();
  if (reaction.isPermanent(error) || now - createdAt >= GIVE_UP_MS) return { status: 'parked', dueAt: now, lastError };
  return { dueAt: now + Math.round(backOffMs(EFFECT_BACK_OFF, attempts - 1, random.fraction())), lastError };
}

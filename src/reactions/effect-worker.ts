import type { Logger } from '../kernel/logger.ts';
import type { Clock } from '../ports/clock.ts';
import type { EventStore } from '../ports/event-store.ts';
import type { Bell } from './bell.ts';
import type { EffectQueue } from './effect-queue.ts';
import type { Effect, Reaction, StoredEffect } from './reaction.ts';

/** Effects under way at a time: a slow one does not hold up the others. */
const AT_ONCE = 4;
/** A try that has not ended after so long, in ms, counts as lost with its process. */
const LOST_MS = 2 * 60_000;
/** The pause after the first failed try, doubled after each further one up to the longest, in ms. */
const PAUSE_MS = 5_000;
const PAUSE_MAX_MS = 60 * 60_000;
/** What has failed for so long, in ms, is parked. */
const GIVE_UP_MS = 24 * 60 * 60_000;
/** How long what was done is remembered, in ms: beyond any replay of the log that a late checkpoint can cause. */
const REMEMBER_MS = 7 * 24 * 60 * 60_000;
/** The longest wait until the queue is looked at again, in ms. */
const LOOK_MS = 60_000;
/** What is under way when the worker is stopped gets so long, in ms; after that it is tried again by the next one. */
const GRACE_MS = 8_000;

export type WorkerDeps = Readonly<{
  events: EventStore;
  queue: EffectQueue;
  reaction: Reaction;
  clock: Clock;
  logger: Logger;
}>;

/** Does what is due until the signal is aborted; what it throws is of the stores. Rings of the bell say that something was claimed. */
export async function workOff(deps: WorkerDeps, bell: Bell, signal: AbortSignal): Promise<void> {
  const { queue, clock } = deps;
  const running = new Set<Promise<void>>();
  try {
    while (!signal.aborted) {
      const rung = bell.next();
      const due = running.size < AT_ONCE ? await queue.due('claimed', clock.now(), AT_ONCE - running.size) : [];
      for (const effect of due) {
        const begun = await begin(deps, effect);
        if (begun === null) continue;
        const run: Promise<void> = attempt(deps, begun).finally(() => {
          running.delete(run);
          bell.ring();
        });
        running.add(run);
      }
      if (due.length > 0) continue;
      await queue.forget(await queue.due('done', clock.now()));
      const nextAt = running.size < AT_ONCE ? await queue.nextDueAt() : null;
      await pause(deps, nextAt, rung, signal);
    }
  } finally {
    await Promise.race([Promise.all(running), clock.sleep(GRACE_MS)]);
  }
}

async function pause(
  { clock }: WorkerDeps,
  until: number | null,
  rung: Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const ms = Math.min(LOOK_MS, Math.max(0, (until ?? Number.POSITIVE_INFINITY) - clock.now()));
  const waited = new AbortController();
  await Promise.race([rung, clock.sleep(ms, AbortSignal.any([signal, waited.signal]))]);
  waited.abort();
}

function begin({ queue, clock }: WorkerDeps, effect: StoredEffect): Promise<StoredEffect | null> {
  return queue.change(effect, { attempts: effect.effect.attempts + 1, dueAt: clock.now() + LOST_MS });
}

/** One try, and what became of it. Never throws: what cannot be noted is tried again when it counts as lost. */
async function attempt(deps: WorkerDeps, begun: StoredEffect): Promise<void> {
  const { queue, reaction, clock, logger } = deps;
  const { stream, revision, type, attempts } = begun.effect;
  const fields = { reaction: reaction.name, eventId: begun.id, type, attempts };
  try {
    let outcome: Partial<Effect>;
    try {
      const { events } = await deps.events.readStream(stream, { from: BigInt(revision), limit: 1 });
      const event = events.find(({ id }) => id === begun.id);
      if (event !== undefined) await reaction.perform(event);
      // Retention may have removed it, and with it the reason to do anything.
      else logger.warn(fields, 'the event of an effect is gone; nothing is done');
      outcome = { status: 'done', dueAt: clock.now() + REMEMBER_MS, lastError: null };
    } catch (error) {
      outcome = failed(deps, begun.effect, error);
      if (outcome.status === 'parked') logger.error({ ...fields, err: error }, 'effect given up and parked');
      else logger.warn({ ...fields, err: error }, 'effect failed; it will be tried again');
    }
    await queue.change(begun, outcome);
  } catch (error) {
    logger.warn({ ...fields, err: error }, 'outcome of an effect not noted; it will be tried again');
  }
}

function failed({ reaction, clock }: WorkerDeps, { attempts, claimedAt }: Effect, error: unknown): Partial<Effect> {
  const lastError = (error instanceof Error ? error.message : String(error)).slice(0, 500);
  const now = clock.now();
  if (reaction.isPermanent(error) || now - claimedAt >= GIVE_UP_MS) return { status: 'parked', dueAt: now, lastError };
  const longest = Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** Math.min(attempts - 1, 20));
  return { dueAt: now + Math.round(longest * (0.5 + Math.random() / 2)), lastError };
}

import { StoreError } from '../../src/kernel/errors.ts';
import type { NewEvent, RecordedEvent } from '../../src/kernel/event.ts';
import type { Logger } from '../../src/kernel/logger.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import type { Effect, Reaction } from '../../src/reactions/reaction.ts';
import { createReactionRunner, type ReactionLease } from '../../src/reactions/reaction-runner.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { system } from '../support/stores.ts';

const DEADLINE_MS = 30_000;

/** What a reaction runs over. */
export type ReactionStores = Readonly<{ log: EventLog; documents: DocumentStore }>;

/** Appends an event that the reactions of these tests react to, and returns its id. */
export async function appendEvent(log: EventLog): Promise<string> {
  const { random, clock } = system;
  const userId = random.objectId();
  const id = random.uuid(clock.now());
  const metadata = { actor: null, correlationId: 'test', causationId: null, commandId: random.uuid(clock.now()) };
  const data = { userId, attemptedAt: '2026-01-01T00:00:00.000Z' };
  const event: NewEvent = { id, type: 'RegistrationRepeated', data, metadata };
  await log.append(`user-${userId}`, [event], { expect: 'none' });
  return id;
}

/** A reaction that records the ids of the events it was called with, and then does what the test wants. */
export function recording(perform: (event: RecordedEvent, attempts: number) => Promise<void> = async () => {}) {
  const performed: string[] = [];
  const reaction: Reaction = {
    name: 'recording',
    collection: 'effects',
    on: new Map([
      [
        'RegistrationRepeated',
        (event: RecordedEvent) => {
          performed.push(event.id);
          return perform(event, performed.filter((id) => id === event.id).length);
        },
      ],
    ]),
    isPermanent: (error) => error instanceof RangeError,
  };
  return { reaction, performed };
}

let lastFence = 0;

/** A lease that records each time it was given, with the means to revoke it, and how the work under it ended: `null`, or its error. */
export type RecordingLease = ReactionLease & Readonly<{ held: AbortController[]; ended: unknown[] }>;

/**
 * A lease that gives the partition to each runner that asks, with increasing fences, and again when its work has ended, `times` at most: two runners
 * can then be tested against each other.
 */
export function sharedLease(times = Number.POSITIVE_INFINITY): RecordingLease {
  const held: AbortController[] = [];
  const ended: unknown[] = [];
  return {
    unavailable: null,
    held,
    ended,
    async run(signal, work) {
      while (!signal.aborted && held.length < times) {
        const lost = new AbortController();
        held.push(lost);
        try {
          await work({ partition: 0, fence: ++lastFence, lost: AbortSignal.any([signal, lost.signal]) });
          ended.push(null);
        } catch (error) {
          ended.push(error);
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
}

/** Prepares a reaction, as each node does when it starts, and runs it until it is stopped. */
export async function start(
  { log, documents }: ReactionStores,
  reaction: Reaction,
  clock = manualClock(),
  lease: ReactionLease = sharedLease(),
  logger: Logger = system.logger,
) {
  const runner = createReactionRunner({ ...system, log, documents, clock, lease, logger }, reaction);
  await runner.prepare();
  const stopping = new AbortController();
  const running = runner.run(stopping.signal);
  return {
    clock,
    runner,
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}

/** The effect of an event as it is stored. */
export async function effectOf(documents: DocumentStore, eventId: string): Promise<Effect | undefined> {
  const found = await documents.getMany('effects', [eventId]);
  // Only reactions write this collection.
  return found.get(eventId)?.body as Effect | undefined;
}

/** Moves the clock, so that what has become due is done, until effects were attempted so often. */
export async function untilAttempted(clock: ManualClock, performed: string[], attempts: number): Promise<void> {
  await until(`there were ${attempts} attempts`, async () => {
    if (performed.length < attempts) await clock.advance(1_000);
    return performed.length >= attempts;
  });
}

/** The document store, unavailable while `isAway`. */
export function unless(isAway: () => boolean, store: DocumentStore): DocumentStore {
  const reach = <Result>(work: () => Promise<Result>): Promise<Result> =>
    isAway() ? Promise.reject(new StoreError('UNAVAILABLE', 'unavailable, as the test wants it')) : work();
  return {
    define: (collections) => reach(() => store.define(collections)),
    drop: (collection) => reach(() => store.drop(collection)),
    getMany: (collection, ids) => reach(() => store.getMany(collection, ids)),
    find: (collection, query) => reach(() => store.find(collection, query)),
    count: (collection, filter, cap) => reach(() => store.count(collection, filter, cap)),
    apply: (batch) => reach(() => store.apply(batch)),
    purge: () => reach(() => store.purge()),
    close: () => store.close(),
  };
}

/** Waits for a condition, which is checked in each turn of the event loop. Fails after a deadline. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`timed out waiting until ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

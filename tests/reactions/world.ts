import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import { openSqliteEventStore } from '../../src/adapters/sqlite/event-store.ts';
import { createSystemClock } from '../../src/adapters/system/system-clock.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import type { NewEvent, RecordedEvent } from '../../src/kernel/event.ts';
import { randomIds, uuidv7 } from '../../src/kernel/ids.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import type { Effect, Reaction } from '../../src/reactions/reaction.ts';
import { createReactionRunner, type ReactionLease } from '../../src/reactions/reaction-runner.ts';
import { manualClock } from '../support/manual-clock.ts';

const DEADLINE_MS = 10_000;

export async function openStores(): Promise<{ events: EventStore; documents: DocumentStore; close(): Promise<void> }> {
  const system = { clock: createSystemClock(), logger: silentLogger };
  const events = await openSqliteEventStore({ path: ':memory:', registry: eventRegistry, ...system });
  const documents = await openSqliteDocuments({ path: ':memory:', ...system });
  return {
    events,
    documents,
    close: async () => {
      await Promise.all([events.close(), documents.close()]);
    },
  };
}

/** A fact that the reactions of these tests answer. Gives its event id. */
export async function happen(events: EventStore): Promise<string> {
  const userId = randomIds.objectId('user');
  const id = uuidv7(Date.now());
  const metadata = { actor: null, correlationId: 'test', causationId: null, commandId: uuidv7(Date.now()) };
  const data = { userId, attemptedAt: '2026-01-01T00:00:00.000Z' };
  const event: NewEvent = { id, type: 'RegistrationRepeated', data, metadata };
  await events.append(`user-${userId}`, [event], { expect: 'none' });
  return id;
}

/** A reaction that notes what it was given, and does with it what the test says. */
export function noting(perform: (event: RecordedEvent, tries: number) => Promise<void> = async () => {}) {
  const performed: string[] = [];
  const reaction: Reaction = {
    name: 'noting',
    collection: 'notes',
    handles: ['RegistrationRepeated'],
    perform: (event) => {
      performed.push(event.id);
      return perform(event, performed.filter((id) => id === event.id).length);
    },
    isPermanent: (error) => error instanceof RangeError,
  };
  return { reaction, performed };
}

/** A lease that everybody who asks for it has at once: two runners can then be tried against each other. */
const everybody: ReactionLease = {
  acquire: async () => ({ lost: new AbortController().signal, release: async () => {} }),
};

/** A node that runs a reaction, prepared before as at every start, until it is stopped. */
export async function start(
  stores: { events: EventStore; documents: DocumentStore },
  reaction: Reaction,
  clock = manualClock(),
  lease = everybody,
) {
  const runner = createReactionRunner({ ...stores, clock, logger: silentLogger, lease }, reaction);
  await runner.prepare();
  const stopping = new AbortController();
  const running = runner.run(stopping.signal);
  return {
    clock,
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}

/** The document of the effect of an event, as it stands. */
export async function effectOf(documents: DocumentStore, eventId: string): Promise<Effect | undefined> {
  const found = await documents.getMany('notes', [eventId]);
  return found.get(eventId)?.body as Effect | undefined;
}

/** Waits for a condition, which is looked at whenever the process is idle. Fails after a deadline. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

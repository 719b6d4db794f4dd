import fc from 'fast-check';
import { onTestFinished } from 'vitest';
import type { ConversationEvent } from '../../src/aggregates/conversation/events.ts';
import type { MarksEvent } from '../../src/aggregates/marks/events.ts';
import { eventRegistry } from '../../src/aggregates/registry.ts';
import type { UserEvent } from '../../src/aggregates/user/events.ts';
import { StoreError } from '../../src/kernel/errors.ts';
import type { Event, RecordedEvent } from '../../src/kernel/event.ts';
import type { Json, JsonObject } from '../../src/kernel/json.ts';
import type { Filter } from '../../src/kernel/query.ts';
import { anchorOf } from '../../src/log/anchor.ts';
import { CHECKPOINTS, type Checkpoint } from '../../src/log/checkpoint.ts';
import type { DocumentStore, StoredDocument, WriteBatch } from '../../src/ports/documents.ts';
import type { DocumentRef, Projection } from '../../src/projections/models/projection.ts';
import { generationCollections, POINTERS } from '../../src/projections/runner/generations.ts';
import { openMemoryStores } from '../support/stores.ts';

export type AnyEvent = UserEvent | ConversationEvent | MarksEvent;

/** 24 hex digits that end so. */
export const objectId = (n: number): string => n.toString(16).padStart(24, '0');
export const uuid = (n: number): string => `00000000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`;
export const time = (n: number): string => new Date(Date.UTC(2026, 0, 1) + n * 1_000).toISOString();
export const positionOf = (n: number): string => String(n).padStart(16, '0');

/** The stream that an event belongs to. */
export function streamOf(event: AnyEvent): string {
  if ('conversationId' in event.data && !('readSeq' in event.data)) return `conversation-${event.data.conversationId}`;
  if (event.type === 'ConversationOpened' || event.type === 'MarksSummarised') return `marks-${event.data.userId}`;
  return `user-${(event.data as { userId: string }).userId}`;
}

/** Events as the log returns them, at positions from 1 on. */
export function recorded(events: readonly AnyEvent[]): readonly RecordedEvent[] {
  const revisions = new Map<string, bigint>();
  return events.map((event, i) => {
    const stream = streamOf(event);
    const revision = (revisions.get(stream) ?? -1n) + 1n;
    revisions.set(stream, revision);
    return {
      ...(event as Event),
      id: uuid(i),
      schemaVersion: 1,
      stream,
      revision,
      position: positionOf(i + 1),
      recordedAt: time(i),
      metadata: { actor: null, correlationId: uuid(i), causationId: null, commandId: uuid(i) },
    };
  });
}

/** The documents that an event touches, out of all that there are: those that it names, and those that match its queries. */
export function touchedBy(
  projection: Projection,
  event: RecordedEvent,
  all: (collection: string) => ReadonlyMap<string, JsonObject>,
): readonly DocumentRef[] {
  const named = projection.touches(event);
  const found = (projection.finds?.(event) ?? []).flatMap(({ collection, filter }) =>
    [...all(collection)].filter(([, body]) => matches(body, filter)).map(([id]) => ({ collection, id })),
  );
  return [...new Map([...found, ...named].map((ref) => [`${ref.collection}/${ref.id}`, ref])).values()];
}

/** Whether a document matches a filter of equalities and elements. */
function matches(body: JsonObject, filter: Filter): boolean {
  return Object.entries(filter).every(([field, condition]) => {
    const value = body[field] ?? null;
    if (condition === null || typeof condition !== 'object') return value === condition;
    if (!('contains' in condition)) throw new Error(`a condition that this test does not know on '${field}'`);
    return Array.isArray(value) && value.includes(condition.contains);
  });
}

/** The documents that a history results in, by id; of projections with one collection. */
export function project(projection: Projection, ...history: readonly AnyEvent[]): Record<string, JsonObject> {
  const documents = new Map<string, JsonObject>();
  for (const event of recorded(history).filter(({ type }) => projection.handles.includes(type))) {
    for (const ref of touchedBy(projection, event, () => documents)) {
      const body = projection.evolve(ref, documents.get(ref.id), event);
      if (body === undefined) documents.delete(ref.id);
      else documents.set(ref.id, body);
    }
  }
  return Object.fromEntries(documents);
}

/** The same when the log is read after all of it was appended: without the personal fields of erased persons. */
export const projectRead = (projection: Projection, ...history: readonly AnyEvent[]): Record<string, JsonObject> =>
  project(projection, ...(readAs(recorded(history), 'later') as readonly RecordedEvent<AnyEvent>[]));

/** What a projector needs to know of the log. */
export const erasures = { erasingTypes: new Set(['UserErased']) };

/** The checkpoint at position `n`, by which no log can be recognised. */
export const upTo = (n: number): Checkpoint => ({ position: positionOf(n), anchor: null });

/** The checkpoint after an event. */
export const checkpointAt = (event: RecordedEvent): Checkpoint => ({
  position: event.position,
  anchor: anchorOf(event),
});

/**
 * Events as a node reads them whose log has erasures. `live`: it read each as it was appended, so that personal fields are `null` only after the
 * erasure. `later`: after all of them were appended, so that no personal field of an erased person can be read.
 */
export function readAs(events: readonly RecordedEvent[], when: 'live' | 'later'): readonly RecordedEvent[] {
  const erasedBy = (event: RecordedEvent): readonly Json[] =>
    event.type === 'UserErased' ? [event.data.userId ?? null] : [];
  const erased = new Set(when === 'later' ? events.flatMap(erasedBy) : []);
  return events.map((event) => {
    for (const person of erasedBy(event)) erased.add(person);
    const personal = Object.entries(eventRegistry.get(event.type)?.personal ?? {});
    const gone = personal
      .filter(([, person]) => erased.has(event.data[person] ?? null))
      .map(([field]) => [field, null]);
    return { ...event, data: { ...event.data, ...Object.fromEntries(gone) } };
  });
}

/** The embedded store in memory, with what projections need defined. */
export async function memoryDocuments(...projections: readonly Projection[]): Promise<DocumentStore> {
  const { documents, close } = await openMemoryStores();
  onTestFinished(close);
  await documents.define([CHECKPOINTS, POINTERS, ...projections.flatMap((each) => generationCollections(each, 1))]);
  return documents;
}

/** Everything in a collection, by id. */
export async function dump(documents: DocumentStore, collection: string): Promise<Record<string, StoredDocument>> {
  const { items, next } = await documents.find(collection, { filter: {}, limit: 4_096 });
  if (next !== null) throw new Error('more than one page');
  return Object.fromEntries(items.map((document) => [document.id, document]));
}

/** Everything in the first (or another) generation of a projection. */
export async function dumpProjection(documents: DocumentStore, projection: Projection, generation = 1) {
  const collections = generationCollections(projection, generation);
  return Object.fromEntries(
    await Promise.all(
      collections.map(async ({ name }, i) => [projection.collections[i]!.name, await dump(documents, name)] as const),
    ),
  );
}

/** `away`: not written. `lost`: written, but the answer is lost. */
export type DocumentFault = 'none' | 'away' | 'lost';

/** The store with faults: `next` decides what happens to each `apply`. */
export function faultyDocuments(documents: DocumentStore, next: (batch: WriteBatch) => DocumentFault): DocumentStore {
  return {
    define: (collections) => documents.define(collections),
    drop: (collection) => documents.drop(collection),
    getMany: (collection, ids) => documents.getMany(collection, ids),
    find: (collection, query) => documents.find(collection, query),
    count: (collection, filter, cap) => documents.count(collection, filter, cap),
    async apply(batch) {
      const fault = next(batch);
      if (fault === 'away') throw new StoreError('UNAVAILABLE', 'unavailable, as the test wants it');
      const outcome = await documents.apply(batch);
      if (fault === 'lost') throw new StoreError('UNAVAILABLE', 'the answer was lost, as the test wants it');
      return outcome;
    },
    purge: () => documents.purge(),
    close: () => documents.close(),
  };
}

const user = fc.nat(3).map((n) => objectId(100 + n));
const conversationId = fc.nat(2).map((n) => objectId(200 + n));
const seq = fc.integer({ min: 1, max: 14 });
const at = fc.nat(50).map(time);
const content = fc.string({ minLength: 1, maxLength: 5 });

/** Any event, also those that no decider makes: duplicates, messages and marks of users who are not members, gaps. */
export const anyEvent: fc.Arbitrary<AnyEvent> = fc.oneof(
  fc.record({
    type: fc.constant('UserRegistered' as const),
    data: fc.record({
      userId: user,
      email: fc.constant('a@example.org'),
      username: content,
      firstname: fc.option(content),
      lastname: fc.option(content),
      registeredAt: at,
    }),
  }),
  fc.record({
    type: fc.constant('PasswordSet' as const),
    data: fc.record({ userId: user, linkId: fc.constant(uuid(1)), passwordHash: fc.constant('x'), setAt: at }),
  }),
  fc.record({ type: fc.constant('UserErased' as const), data: fc.record({ userId: user, erasedAt: at }) }),
  fc.record({
    type: fc.constant('ConversationCreated' as const),
    data: fc.record({
      conversationId,
      kind: fc.constantFrom('direct' as const, 'group' as const),
      name: fc.option(content),
      ownerId: fc.option(user),
      members: fc.uniqueArray(user, { minLength: 1, maxLength: 3 }),
      createdAt: at,
    }),
  }),
  fc.record({
    type: fc.constant('MemberAdded' as const),
    data: fc.record({ conversationId, userId: user, joinedSeq: fc.nat(14), addedAt: at }),
  }),
  fc.record({
    type: fc.constant('MemberRemoved' as const),
    data: fc.record({ conversationId, userId: user, reason: fc.constant('left' as const), removedAt: at }),
  }),
  fc.record({
    type: fc.constant('MessageSent' as const),
    data: fc.record({
      conversationId,
      messageId: fc.nat(20).map(uuid),
      seq,
      senderId: user,
      content,
      replyTo: fc.option(fc.nat(20).map(uuid)),
      mentions: fc.uniqueArray(user, { maxLength: 2 }),
      sentAt: at,
    }),
  }),
  fc.record({ type: fc.constant('ConversationDeleted' as const), data: fc.record({ conversationId, deletedAt: at }) }),
  fc.record({
    type: fc.constant('ConversationOpened' as const),
    data: fc.record({
      userId: user,
      conversationId,
      readSeq: fc.nat(14),
      receivedSeq: fc.nat(14),
      openedAt: at,
      memberCount: fc.constant(2),
    }),
  }),
  fc.record({
    type: fc.constant('MarksSummarised' as const),
    data: fc.record({
      userId: user,
      marks: fc.uniqueArray(fc.record({ conversationId, readSeq: fc.nat(14), receivedSeq: fc.nat(14), openedAt: at }), {
        maxLength: 3,
        selector: (mark) => mark.conversationId,
      }),
      dropped: fc.uniqueArray(conversationId, { maxLength: 2 }),
    }),
  }),
);

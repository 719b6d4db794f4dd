import fc from 'fast-check';
import { onTestFinished } from 'vitest';
import { openSqliteDocuments } from '../../src/adapters/sqlite/documents.ts';
import type { ConversationEvent } from '../../src/aggregates/conversation/events.ts';
import type { MarksEvent } from '../../src/aggregates/marks/events.ts';
import type { UserEvent } from '../../src/aggregates/user/events.ts';
import { StoreError } from '../../src/kernel/errors.ts';
import type { Event, RecordedEvent } from '../../src/kernel/event.ts';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { DocumentStore, StoredDocument, WriteBatch } from '../../src/ports/documents.ts';
import { CHECKPOINTS } from '../../src/projections/runner/checkpoint.ts';
import { generationCollections, POINTERS } from '../../src/projections/runner/generations.ts';
import type { Projection } from '../../src/projections/models/projection.ts';

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

/** Events as a store would give them, at positions from 1 on. */
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

/** The embedded store in memory, with what projections need defined. */
export async function memoryDocuments(...projections: readonly Projection[]): Promise<DocumentStore> {
  const documents = await openSqliteDocuments({ path: ':memory:', clock: Date, logger: silentLogger });
  onTestFinished(() => documents.close());
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

/** `away`: not written. `lost`: written, but the answer does not come. */
export type DocumentFault = 'none' | 'away' | 'lost';

/** The store with faults: `next` says what happens to each `apply` that writes read models or checkpoints. */
export function faultyDocuments(documents: DocumentStore, next: (batch: WriteBatch) => DocumentFault): DocumentStore {
  return {
    define: (collections) => documents.define(collections),
    drop: (collection) => documents.drop(collection),
    getMany: (collection, ids) => documents.getMany(collection, ids),
    find: (collection, query) => documents.find(collection, query),
    count: (collection, filter, cap) => documents.count(collection, filter, cap),
    async apply(batch) {
      const fault = next(batch);
      if (fault === 'away') throw new StoreError('UNAVAILABLE', 'away, as the test wants it');
      const outcome = await documents.apply(batch);
      if (fault === 'lost') throw new StoreError('UNAVAILABLE', 'the answer was lost, as the test wants it');
      return outcome;
    },
    close: () => documents.close(),
  };
}

const user = fc.nat(3).map((n) => objectId(100 + n));
const conversationId = fc.nat(2).map((n) => objectId(200 + n));
const seq = fc.integer({ min: 1, max: 14 });
const at = fc.nat(50).map(time);
const content = fc.string({ minLength: 1, maxLength: 5 });

/** Any event, also such as no decider would make: doubles, strangers who write, gaps, marks of who is not there. */
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
    }),
  }),
);

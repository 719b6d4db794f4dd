import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/kernel/json.ts';
import { readCheckpoints } from '../../src/log/checkpoint.ts';
import type { DocumentStore, Query } from '../../src/ports/documents.ts';
import { conversations } from '../../src/projections/models/conversations.ts';
import { messages } from '../../src/projections/models/messages.ts';
import type { Projection } from '../../src/projections/models/projection.ts';
import { Projector } from '../../src/projections/runner/projector.ts';
import { system } from '../support/stores.ts';
import { created, erased, sent } from './node.ts';
import {
  type AnyEvent,
  checkpointAt,
  dump,
  erasures,
  faultyDocuments,
  memoryDocuments,
  objectId,
  positionOf,
  recorded,
  upTo,
} from './support.ts';

const MESSAGES = 'messages.1.messages';

const open = (documents: DocumentStore, projection: Projection, fence = 1): Promise<Projector> =>
  Projector.open({
    ...system,
    log: erasures,
    documents,
    projection,
    generation: 1,
    fence,
    writer: `writer-${fence}`,
  });

const storedPosition = async (documents: DocumentStore, projection: Projection) => {
  const id = `projections/${projection.name}.1`;
  return (await readCheckpoints(documents, [id])).get(id)?.position;
};

/** Messages of two users in turns, so that each has sent more than fit on two pages, and the erasure of the first. */
const long = recorded([...Array.from({ length: 2_600 }, (_, i) => sent(1, i + 1, 1 + (i % 2))), erased(1)]);
const erasure = long.at(-1)!;

/** What is stored of the messages: how many documents with which content and position, by sender. */
async function summary(documents: DocumentStore) {
  const all = Object.values(await dump(documents, MESSAGES));
  const of = (sender: number) => all.filter(({ body }) => body.senderId === objectId(sender));
  return {
    erased: of(1).filter(({ body, position }) => body.content === null && position === erasure.position).length,
    own: of(1).length,
    kept: of(2).filter(({ body, position }) => body.content !== null && position !== erasure.position).length,
  };
}

const all = { erased: 1_300, own: 1_300, kept: 1_300 };

describe('an event whose documents have to be searched', () => {
  it('changes all that match, page by page, and no other', async () => {
    const documents = await memoryDocuments(messages);
    const pages: number[] = [];
    const watched: DocumentStore = {
      ...faultyDocuments(documents, () => 'none'),
      async find(collection: string, query: Query) {
        const page = await documents.find(collection, query);
        pages.push(page.items.length);
        return page;
      },
    };
    const projector = await open(watched, messages);
    await projector.take(long, checkpointAt(erasure), true);
    expect(pages).toEqual([512, 512, 276]);
    expect(await summary(documents)).toEqual(all);
    expect([projector.position, projector.taken.position, projector.events]).toEqual([
      erasure.position,
      erasure.position,
      2_601,
    ]);
  });

  it('sees everything before it as written, and nothing after it', async () => {
    const documents = await memoryDocuments(conversations);
    const projector = await open(documents, conversations);
    const unread: AnyEvent = { type: 'MessageSent', data: { ...sent(1, 3, 1).data, content: null } } as AnyEvent;
    const events = recorded([created(1, [1, 2]), sent(1, 1, 1), sent(1, 2, 2), erased(1), unread, sent(1, 4, 2)]);
    await projector.take(events, checkpointAt(events.at(-1)!), true);
    const [stored] = Object.values(await dump(documents, 'conversations.1.conversations'));
    expect(stored?.position).toBe(positionOf(6));
    expect(stored?.body).toMatchObject({ name: null, lastSeq: 4, revision: 4 });
    expect((stored!.body.latest as JsonObject[]).map(({ content }) => content)).toEqual([null, 'm2', null, 'm4']);
  });

  it('leaves nothing outdated in memory: the next event continues from what it has written', async () => {
    const documents = await memoryDocuments(conversations);
    const projector = await open(documents, conversations);
    const events = recorded([created(1, [1, 2]), sent(1, 1, 1), sent(1, 2, 2), erased(1), sent(1, 3, 2)]);
    for (const event of events) await projector.take([event], checkpointAt(event), true);
    const [stored] = Object.values(await dump(documents, 'conversations.1.conversations'));
    expect((stored!.body.latest as JsonObject[]).map(({ content }) => content)).toEqual([null, 'm2', 'm3']);
  });

  describe.each(['away', 'lost'] as const)('when the store fails in the middle (%s)', (fault) => {
    /** A projector that has failed with some of the documents written. */
    async function interrupted() {
      const documents = await memoryDocuments(messages);
      let failing = false;
      let writes = 0;
      const faulty = faultyDocuments(documents, (batch) => {
        const isOfErasure = failing && batch.writes.some(({ position }) => position === erasure.position);
        return isOfErasure && ++writes === 3 ? fault : 'none';
      });
      const projector = await open(faulty, messages);
      await projector.take(long.slice(0, -1), checkpointAt(long.at(-2)!), true);
      failing = true;
      await expect(projector.take([erasure], checkpointAt(erasure), true)).rejects.toMatchObject({
        code: 'UNAVAILABLE',
      });
      return { documents, projector };
    }

    it('the checkpoint does not move before all of it is written', async () => {
      const { documents, projector } = await interrupted();
      const { erased: done } = await summary(documents);
      expect(done).toBeGreaterThan(0);
      expect(done).toBeLessThan(1_300);
      const before = long.at(-2)!.position;
      expect([projector.position, projector.taken.position]).toEqual([before, before]);
      await projector.save();
      expect(await storedPosition(documents, messages)).toBe(before);
    });

    it('the same node continues when it is called again', async () => {
      const { documents, projector } = await interrupted();
      await projector.take([erasure], checkpointAt(erasure), true);
      expect(await summary(documents)).toEqual(all);
      await projector.save();
      expect(await storedPosition(documents, messages)).toBe(erasure.position);
      expect(projector.events).toBe(2_601);
    });

    it('another node continues from the stored checkpoint', async () => {
      const { documents } = await interrupted();
      const next = await open(documents, messages, 2);
      expect(next.taken.position).toBe(long.at(-2)!.position);
      await next.take([erasure], checkpointAt(erasure), true);
      expect(await summary(documents)).toEqual(all);
      expect(next.position).toBe(erasure.position);
    });
  });

  it('changes nothing when it is repeated over documents that later events have changed', async () => {
    const documents = await memoryDocuments(messages);
    const events = [...long, ...recorded([...long.map(() => sent(2, 1, 2)), sent(1, 2_601, 2)]).slice(-1)];
    const first = await open(documents, messages);
    await first.take(events, checkpointAt(events.at(-1)!), true);
    const before = await dump(documents, MESSAGES);
    await documents.drop('checkpoints');
    await documents.define([{ name: 'checkpoints', indexes: [] }]);
    const again = await open(documents, messages, 2);
    await again.take(events, checkpointAt(events.at(-1)!), true);
    expect(await dump(documents, MESSAGES)).toEqual(before);
    expect(again.position).toBe(events.at(-1)!.position);
  });

  /** Counts the events of each document; `UserErased` touches that of its user and finds those that follow it. */
  const followers = (more: Partial<Projection> = {}): Projection => ({
    name: 'followers',
    version: 1,
    collections: [{ name: 'followers', indexes: [{ fields: ['leader'] }] }],
    handles: ['MessageSent', 'UserErased'],
    touches: ({ data }) => [{ collection: 'followers', id: String(data.senderId ?? data.userId) }],
    finds: ({ type, data }) =>
      type === 'UserErased' ? [{ collection: 'followers', filter: { leader: String(data.userId) } }] : [],
    evolve: (_ref, body, { data }) => ({
      leader: body?.leader ?? String(data.content ?? 'none'),
      events: Number(body?.events ?? 0) + 1,
    }),
    ...more,
  });

  const stored = async (documents: DocumentStore) =>
    Object.fromEntries(
      Object.entries(await dump(documents, 'followers.1.followers')).map(([id, { body }]) => [id, body.events]),
    );

  it('changes a document once that it both names and finds', async () => {
    const documents = await memoryDocuments(followers());
    const projector = await open(documents, followers());
    const events = recorded([sent(1, 1, 1, objectId(1)), sent(1, 2, 2, objectId(1)), sent(1, 3, 3), erased(1)]);
    await projector.take(events, checkpointAt(events.at(-1)!), true);
    expect(await stored(documents)).toEqual({ [objectId(1)]: 2, [objectId(2)]: 2, [objectId(3)]: 1 });
  });

  it.each<[string, Partial<Projection>, string]>([
    [
      'its queries cannot be determined',
      {
        finds: ({ type }) => {
          if (type === 'UserErased') throw new Error('no queries');
          return [];
        },
      },
      'no queries',
    ],
    [
      'no index serves its query',
      { finds: ({ type }) => (type === 'UserErased' ? [{ collection: 'followers', filter: { events: 1 } }] : []) },
      'no index',
    ],
    [
      'a document that it finds cannot be folded',
      {
        evolve: (ref, body, event) => {
          if (event.type === 'UserErased' && ref.id === objectId(2)) throw new Error('cannot fold');
          return followers().evolve(ref, body, event);
        },
      },
      'cannot fold',
    ],
    [
      'the store refuses what it makes of a document',
      {
        evolve: (ref, body, event) =>
          event.type === 'UserErased' && ref.id === objectId(2)
            ? { ...body, text: '\ud800' }
            : followers().evolve(ref, body, event),
      },
      '',
    ],
  ])('parks the projection at the event before when %s', async (_what, more, message) => {
    const documents = await memoryDocuments(followers());
    const projector = await open(documents, followers(more));
    const events = recorded([sent(1, 1, 1, objectId(1)), sent(1, 2, 2, objectId(1)), erased(1), sent(1, 3, 2)]);
    await projector.take(events, checkpointAt(events.at(-1)!), true);
    expect(projector.parked).toMatchObject({ position: positionOf(3), type: 'UserErased' });
    expect(projector.parked?.message).toContain(message);
    expect(projector.position).toBe(positionOf(2));
    // Code that can handle it continues there.
    const again = await open(documents, followers(), 2);
    await again.take(events.slice(2), upTo(4), true);
    expect(again.parked).toBeNull();
    expect(await stored(documents)).toEqual({ [objectId(1)]: 2, [objectId(2)]: 3 });
  });
});

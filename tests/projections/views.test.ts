import { describe, expect, it, onTestFinished } from 'vitest';
import type { Position } from '../../src/kernel/position.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import { type Conversation, createConversationsView, lastMessage } from '../../src/projections/views/conversations.ts';
import { createMessagesView } from '../../src/projections/views/messages.ts';
import { createRoomsView } from '../../src/projections/views/rooms.ts';
import { createUsersView } from '../../src/projections/views/users.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { ALL, added, created, openWorld, PATIENCE, passing, removed, sent, until, type World } from './node.ts';
import { type AnyEvent, faultyDocuments, objectId, time, uuid } from './support.ts';

/** A world whose read models include this history. Also counts the queries, by collection. */
async function having(...history: readonly AnyEvent[]) {
  const world = await openWorld();
  const { documents, queries } = counting(world);
  const node = world.node({ documents });
  await node.readModels.waitFor(ALL, await world.append(...history), PATIENCE);
  return { ...world, readModels: node.readModels, queries };
}

function counting({ documents }: World) {
  const queries = new Map<string, number>();
  const store: DocumentStore = {
    ...faultyDocuments(documents, () => 'none'),
    find(collection, query) {
      queries.set(collection, (queries.get(collection) ?? 0) + 1);
      return documents.find(collection, query);
    },
  };
  return { documents: store, queries };
}

const user = (n: number, username: string, firstname: string | null = null): readonly AnyEvent[] => [
  {
    type: 'UserRegistered',
    data: {
      userId: objectId(n),
      email: `${username}@example.org`,
      username,
      firstname,
      lastname: null,
      registeredAt: time(0),
    },
  },
  { type: 'PasswordSet', data: { userId: objectId(n), linkId: uuid(1), passwordHash: 'x', setAt: time(1) } },
];

describe('the view of users', () => {
  it('finds active users by the start of a name, page by page', async () => {
    const [pending] = user(9, 'ann.pending');
    const { readModels } = await having(...user(1, 'ann'), ...user(2, 'bo', 'Änne'), ...user(3, 'cy'), pending!);
    const view = createUsersView(readModels);
    const first = await view.search('  ÄN', { limit: 1 });
    expect(first.items.map(({ username }) => username)).toEqual(['ann']);
    const second = await view.search('an', { limit: 1, after: first.next ?? '' });
    expect(second.items.map(({ username }) => username)).toEqual(['bo']);
    expect(second.next).toBeNull();
    expect((await view.directory({ limit: 10 })).items.map(({ username }) => username)).toEqual(['ann', 'bo', 'cy']);
    expect((await view.search('', { limit: 10 })).items).toHaveLength(3);
    for (const text of ['a', 'an', 'ann']) {
      const found = (await view.search(text, { limit: 10 })).items.map(({ username }) => username);
      expect(found).toEqual(['ann', 'bo']);
    }
    expect((await view.byId(objectId(9)))?.status).toBe('pending');
    expect(await view.byId(objectId(8))).toBeNull();
  });

  it('returns erased accounts by id, without names, and neither in a search nor in the directory', async () => {
    const { readModels, erase } = await having(...user(1, 'ann', 'Anna'), ...user(2, 'bo', 'Änne'), ...user(3, 'cy'));
    const view = createUsersView(readModels);
    await readModels.waitFor(ALL, await erase(1), PATIENCE);
    expect(await view.byId(objectId(1))).toEqual({
      _id: objectId(1),
      username: null,
      firstname: null,
      lastname: null,
      displayName: null,
      email: null,
      status: 'erased',
      roles: [],
      createdAt: time(0),
      revision: 2,
    });
    expect((await view.byIds([objectId(1), objectId(2)])).get(objectId(1))?.status).toBe('erased');
    for (const list of [view.search('an', { limit: 10 }), view.search('anna', { limit: 10 })]) {
      expect((await list).items.map(({ username }) => username)).not.toContain(null);
    }
    expect((await view.search('an', { limit: 10 })).items.map(({ _id }) => _id)).toEqual([objectId(2)]);
    expect((await view.search('', { limit: 10 })).items.map(({ _id }) => _id)).toEqual([objectId(2), objectId(3)]);
    expect((await view.directory({ limit: 10 })).items.map(({ _id }) => _id)).toEqual([objectId(2), objectId(3)]);
  });
});

describe('the view of conversations', () => {
  /** Adds so many members. */
  const grow = (n: number, many: number): readonly AnyEvent[] =>
    Array.from({ length: many }, (_, i) => added(n, 10_000 + i, 0));

  it('lists those of a user by newest activity, including large ones, in pages of any size', async () => {
    const history: AnyEvent[] = [1, 2, 3, 4, 5, 6].flatMap((n) => [created(n, [1, 2]), sent(n, 1, 2)]);
    history.push(...grow(2, 200), ...grow(5, 200));
    // The order of activity differs from that of creation; the others have their first message as their latest activity.
    history.push(sent(5, 20, 1), sent(1, 21, 2), sent(2, 22, 1), created(7, [2, 3]));
    const { readModels } = await having(...history);
    const view = createConversationsView(readModels);
    const whole = (await view.ofUser(objectId(1), { limit: 100 })).items.map(({ conversation }) => conversation._id);
    expect(whole).toEqual([2, 1, 5, 6, 4, 3].map(objectId));
    for (const limit of [1, 2, 3, 4, 5, 6]) {
      const listed: string[] = [];
      let next: string | null | undefined;
      do {
        const part = await view.ofUser(objectId(1), { limit, after: next ?? undefined });
        expect(part.items.length).toBeLessThanOrEqual(limit);
        listed.push(...part.items.map(({ conversation }) => conversation._id));
        next = part.next;
      } while (next !== null);
      expect(listed).toEqual(whole);
    }
  });

  it('rejects invalid cursors', async () => {
    const { readModels } = await having(created(1, [1, 2]));
    const view = createConversationsView(readModels);
    for (const cursor of [
      '',
      'x',
      Buffer.from('{}').toString('base64url'),
      Buffer.from('null').toString('base64url'),
    ]) {
      await expect(view.ofUser(objectId(1), { limit: 1, after: cursor })).rejects.toMatchObject({ code: 'INVALID' });
    }
  });

  it('counts as unread the messages of others above the mark', async () => {
    const { readModels } = await having(created(1, [1, 2]), sent(1, 1, 2), sent(1, 2, 1), sent(1, 3, 2), sent(1, 4, 2));
    const view = createConversationsView(readModels);
    expect((await view.ofMember(objectId(1), objectId(1)))?.unread).toBe(2);
    expect((await view.ofMember(objectId(1), objectId(2)))?.unread).toBe(0);
  });

  it('returns a conversation to its members only, and a deleted one to none', async () => {
    const deleted: AnyEvent = {
      type: 'ConversationDeleted',
      data: { conversationId: objectId(2), deletedAt: time(9) },
    };
    const { readModels } = await having(created(1, [1, 2]), removed(1, 2), created(2, [1]), deleted);
    const view = createConversationsView(readModels);
    expect((await view.ofMember(objectId(1), objectId(1)))?.conversation.name).toBe('c1');
    expect(await view.ofMember(objectId(1), objectId(2))).toBeNull();
    expect(await view.ofMember(objectId(1), objectId(3))).toBeNull();
    expect(await view.ofMember(objectId(2), objectId(1))).toBeNull();
    expect(await view.ofMember(objectId(3), objectId(1))).toBeNull();
    expect((await view.ofUser(objectId(1), { limit: 10 })).items).toHaveLength(1);
    expect((await view.ofUser(objectId(2), { limit: 10 })).items).toHaveLength(0);
  });

  it('returns the first 100 members in the order of joining, and all of them by pages', async () => {
    const { readModels } = await having(created(1, [9, 1]), ...grow(1, 250), created(2, [2, 1]), added(2, 3, 1));
    const view = createConversationsView(readModels);
    const own = (await view.ofUser(objectId(1), { limit: 10 })).items.map(({ conversation }) => conversation);
    expect(own).toHaveLength(2);
    const members = await view.firstMembers(own);
    expect(members.get(objectId(1))).toHaveLength(100);
    expect(members.get(objectId(2))?.map(({ userId }) => userId)).toEqual([2, 1, 3].map(objectId));
    const large = own.find(({ _id }) => _id === objectId(1));
    const first = await view.members(large!, { limit: 200 });
    const second = await view.members(large!, { limit: 200, after: first.next ?? '' });
    expect(first.items.length + second.items.length).toBe(252);
    expect(second.next).toBeNull();
    const among = await view.membersAmong(objectId(2), [1, 4, 3].map(objectId));
    expect(new Set(among.map(({ userId }) => userId))).toEqual(new Set([objectId(1), objectId(3)]));
  });
});

describe('the view of messages', () => {
  const seqs = (list: { items: readonly { seq: number }[] }): readonly number[] => list.items.map(({ seq }) => seq);

  async function conversationWith(messages: number) {
    const world = await having(created(1, [1, 2]), ...Array.from({ length: messages }, (_, i) => sent(1, i + 1, 1)));
    const own = await createConversationsView(world.readModels).ofMember(objectId(1), objectId(1));
    return { ...world, view: createMessagesView(world.readModels), conversation: own!.conversation as Conversation };
  }

  it('returns the latest 10 from the conversation itself, newest first', async () => {
    const { view, conversation, queries } = await conversationWith(25);
    const latest = await view.range(conversation, { above: 0, limit: 10 });
    expect(seqs(latest)).toEqual([25, 24, 23, 22, 21, 20, 19, 18, 17, 16]);
    expect(latest.next).toBe(16);
    expect(latest.items[0]).toEqual({
      _id: uuid(10_025),
      conversationId: objectId(1),
      seq: 25,
      senderId: objectId(1),
      content: 'm25',
      sentAt: time(25),
      editedAt: null,
      deletedAt: null,
      replyTo: null,
      mentions: [],
      reactions: {},
    });
    expect(queries.has('messages.1.messages')).toBe(false);
    expect(lastMessage(conversation)?.seq).toBe(25);
  });

  it('returns older and newer ones by pages, without gaps or duplicates, above where the reader joined', async () => {
    const { view, conversation } = await conversationWith(25);
    const older = await view.range(conversation, { above: 3, limit: 10, before: 16 });
    expect(seqs(older)).toEqual([15, 14, 13, 12, 11, 10, 9, 8, 7, 6]);
    const oldest = await view.range(conversation, { above: 3, limit: 10, before: older.next! });
    expect([seqs(oldest), oldest.next]).toEqual([[5, 4], null]);
    const newer = await view.range(conversation, { above: 3, limit: 12, after: 0 });
    expect([seqs(newer), newer.next]).toEqual([[4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], 15]);
    const newest = await view.range(conversation, { above: 3, limit: 12, after: newer.next! });
    expect([seqs(newest), newest.next]).toEqual([[16, 17, 18, 19, 20, 21, 22, 23, 24, 25], null]);
    expect(await view.range(conversation, { above: 25, limit: 10 })).toEqual({ items: [], next: null });
    expect(seqs(await view.range(conversation, { above: 22, limit: 10, before: 1_000 }))).toEqual([25, 24, 23]);
  });

  it('returns messages of an erased sender without their text', async () => {
    const { readModels, erase } = await having(created(1, [2, 1]), sent(1, 1, 1), sent(1, 2, 2), sent(1, 3, 1));
    await readModels.waitFor(ALL, await erase(1), PATIENCE);
    const own = await createConversationsView(readModels).ofMember(objectId(1), objectId(2));
    const view = createMessagesView(readModels);
    const contents = [null, 'm2', null];
    const latest = await view.range(own!.conversation, { above: 0, limit: 10 });
    expect(latest.items.map(({ content }) => content)).toEqual(contents);
    const newer = await view.range(own!.conversation, { above: 0, limit: 10, after: 0 });
    expect(newer.items.map(({ content }) => content)).toEqual(contents);
    expect(await view.message({ _id: objectId(1), latest: [] }, uuid(10_001))).toMatchObject({
      senderId: objectId(1),
      content: null,
    });
    expect(lastMessage(own!.conversation)).toMatchObject({ seq: 3, content: null });
  });

  it('finds a message by its id, within its conversation', async () => {
    const stored = (n: number) => ({ _id: objectId(n), latest: [] });
    const twin = { ...sent(2, 1, 1).data, messageId: uuid(10_001) };
    const { readModels } = await having(sent(1, 1, 1), { type: 'MessageSent', data: twin } as AnyEvent);
    const view = createMessagesView(readModels);
    expect((await view.message(stored(2), uuid(10_001)))?.conversationId).toBe(objectId(2));
    expect((await view.message(stored(1), uuid(10_001)))?.conversationId).toBe(objectId(1));
    expect(await view.message(stored(3), uuid(10_001))).toBeNull();
  });
});

describe('views of two read models of which one lags', () => {
  const seqs = (list: { items: readonly { seq: number }[] }): readonly number[] => list.items.map(({ seq }) => seq);
  const messages = (from: number, to: number, senderId = 1): readonly AnyEvent[] =>
    Array.from({ length: to - from + 1 }, (_, i) => sent(1, from + i, senderId));

  /** 25 messages of user 2 are in all read models, and what `later` appends is in all but the one that is held until `release`. */
  async function lagging(held: string, ...later: readonly AnyEvent[]) {
    const world = await openWorld();
    const released = Promise.withResolvers<void>();
    let isHeld = false;
    const documents: DocumentStore = {
      ...faultyDocuments(world.documents, () => 'none'),
      async apply(batch) {
        if (isHeld && batch.writes[0]?.collection.startsWith(`${held}.`)) await released.promise;
        return world.documents.apply(batch);
      },
    };
    const clock = manualClock();
    const { readModels } = world.node({ documents, clock });
    const reaches = async (names: readonly string[], position: Position): Promise<void> => {
      expect(await passing([clock], readModels.waitFor(names, position, PATIENCE))).toBe(true);
    };
    await reaches(ALL, await world.append(created(1, [1, 2]), ...messages(1, 25, 2)));
    isHeld = true;
    onTestFinished(() => released.resolve());
    await reachesDocument(world, held, await world.append(...later), clock);
    const own = await createConversationsView(readModels).ofMember(objectId(1), objectId(1));
    return { readModels, clock, own: own!, conversation: own!.conversation, release: released.resolve };
  }

  /** Waits for the documents themselves: no checkpoint moves while one projection of a step is held. */
  async function reachesDocument(world: World, held: string, position: Position, clock: ManualClock): Promise<void> {
    const [collection, id] =
      held === 'conversations'
        ? ['memberships.1.memberships', `${objectId(1)}:${objectId(1)}`]
        : ['conversations.1.conversations', objectId(1)];
    await until(async () => {
      await clock.advance(10);
      return (await world.documents.getMany(collection, [id])).get(id)?.position === position;
    }, 'the others have reached it');
  }

  it('keep the `next` of a page forwards that ends where the messages lag', async () => {
    const { readModels, conversation } = await lagging('messages', ...messages(26, 40));
    const view = createMessagesView(readModels);
    const page = await view.range(conversation, { above: 0, limit: 10, after: 20 });
    expect([seqs(page), page.next]).toEqual([[21, 22, 23, 24, 25], 25]);
    expect(await view.range(conversation, { above: 0, limit: 10, after: 25 })).toEqual({ items: [], next: 25 });
    expect(await view.range(conversation, { above: 30, limit: 10, after: 0 })).toEqual({ items: [], next: 30 });
    expect(await view.range(conversation, { above: 0, limit: 10, after: 40 })).toEqual({ items: [], next: null });
  });

  it('wait for messages that are missing in a page backwards, and skip none', async () => {
    const { readModels, conversation, clock, release } = await lagging('messages', ...messages(26, 40));
    const view = createMessagesView(readModels);
    expect(seqs(await view.range(conversation, { above: 0, limit: 10 }))).toEqual([
      40, 39, 38, 37, 36, 35, 34, 33, 32, 31,
    ]);
    const pages = [{ limit: 20 }, { limit: 5, before: 31 }];
    for (const page of pages) {
      const reading = view.range(conversation, { above: 0, ...page });
      const refusal = { name: 'Refusal', code: 'not-yet-visible' };
      await passing([clock], expect(reading).rejects.toMatchObject(refusal));
    }
    // What is there already is not waited for.
    expect(seqs(await view.range(conversation, { above: 0, limit: 2, before: 26 }))).toEqual([25, 24]);
    const waiting = pages.map((page) => view.range(conversation, { above: 0, ...page }));
    release();
    const [first, second] = await passing([clock], Promise.all(waiting));
    expect(seqs(first!)).toEqual(Array.from({ length: 20 }, (_, i) => 40 - i));
    expect(seqs(second!)).toEqual([30, 29, 28, 27, 26]);
  });

  it('find a message that the conversation shows', async () => {
    const { readModels, conversation } = await lagging('messages', ...messages(26, 26));
    expect(await createMessagesView(readModels).message(conversation, uuid(10_026))).toEqual(lastMessage(conversation));
  });

  it('do not count own messages as unread while the memberships lag', async () => {
    const { own, readModels, conversation } = await lagging('memberships', ...messages(26, 26, 1));
    expect(own).toMatchObject({ unread: 0, membership: { readSeq: 26, receivedSeq: 26 } });
    const members = await createConversationsView(readModels).firstMembers([conversation]);
    expect(members.get(objectId(1))?.map(({ readSeq }) => readSeq)).toEqual([26, 25]);
  });

  it('show no mark above the last message while the conversations lag', async () => {
    const { own, readModels, conversation } = await lagging('conversations', ...messages(26, 30, 1));
    expect(conversation.lastSeq).toBe(25);
    expect(own).toMatchObject({ unread: 0, membership: { readSeq: 25, receivedSeq: 25 } });
    const view = createConversationsView(readModels);
    const shown = (await view.firstMembers([conversation])).get(objectId(1)) ?? [];
    const listed = (await view.members(conversation, { limit: 10 })).items;
    for (const members of [shown, listed]) {
      expect(members.map(({ readSeq, receivedSeq }) => [readSeq, receivedSeq])).toEqual([
        [25, 25],
        [25, 25],
      ]);
    }
  });
});

describe('the view of rooms', () => {
  it('returns all conversations of a user and since when, as of a position or later', async () => {
    const { readModels, append } = await having(created(1, [1, 2]), created(2, [2]), created(3, [1]));
    const view = createRoomsView(readModels);
    const position = await append(added(2, 1, 0));
    const rooms = await view.ofUser(objectId(1), position);
    expect(rooms.map(({ conversationId }) => conversationId)).toEqual([1, 2, 3].map(objectId));
    expect(rooms[1]?.since).toBe(position);
    expect(await view.ofUser(objectId(7), null)).toEqual([]);
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import {
  type Answer,
  type Asking,
  expectProblem,
  group,
  type Person,
  read,
  type Server,
  signUp,
  startServer,
} from '../support/http.ts';

let server: Server;
let ada: Person;
let bob: Person;
let eve: Person;

beforeAll(async () => {
  server = await startServer();
  [ada, bob, eve] = await Promise.all([signUp(server, 'ada'), signUp(server, 'bob'), signUp(server, 'eve')]);
});
afterAll(() => server.close());

const write = (person: Person, id: string, content: string, more: object = {}): Promise<Answer> =>
  server.ask(person, { method: 'POST', url: `/api/v1/conversations/${id}/messages`, payload: { content, ...more } });

const streamOf = async (id: string) =>
  (await server.log.readStream(`conversation-${id}`)).events.map(({ type, data }) => ({ type, data }));

describe('a group', () => {
  it('is created under both paths, from JSON and from a form', async () => {
    const bodies: readonly Partial<Asking>[] = [
      { url: '/api/v1/conversations', payload: { name: 'Team', participants: [bob.userId, eve.userId] } },
      { url: '/conversations/', form: { name: 'Team', participants: [bob.userId, eve.userId] } },
      { url: '/conversations', payload: { name: 'Team', participants: [bob.userId, eve.userId] } },
    ];
    for (const body of bodies) {
      const answer = await server.ask(ada, { method: 'POST', url: '', ...body });
      expect(answer.status).toBe(202);
      expect(answer.headers.location).toBe(`/api/v1/conversations/${answer.json._id}`);
      const [created, ...more] = await streamOf(answer.json._id);
      expect(more).toEqual([]);
      expect(created).toMatchObject({
        type: 'ConversationCreated',
        data: { name: 'Team', ownerId: ada.userId, members: [ada.userId, bob.userId, eve.userId] },
      });
    }
  });

  it('needs no participants, and accepts a single one from a form', async () => {
    const alone = await server.ask(ada, { method: 'POST', url: '/conversations/', form: { name: 'Alone' } });
    const pair = await server.ask(ada, {
      method: 'POST',
      url: '/conversations/',
      form: { name: 'Two', participants: bob.userId },
    });
    expect((await read(server, ada, alone.headers.location ?? '')).json.memberCount).toBe(1);
    expect((await read(server, ada, pair.headers.location ?? '')).json.memberCount).toBe(2);
  });

  it('has the shape of the specification', async () => {
    const id = await group(server, ada, bob);
    await write(bob, id, 'hello');
    const { json, headers } = await read(server, ada, `/api/v1/conversations/${id}`);
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(json).toEqual({
      _id: id,
      kind: 'group',
      name: 'team',
      ownerId: ada.userId,
      memberCount: 2,
      members: [
        { userId: ada.userId, joinedAt: time, lastOpenedAt: null, readSeq: 0, receivedSeq: 0 },
        { userId: bob.userId, joinedAt: time, lastOpenedAt: null, readSeq: 1, receivedSeq: 1 },
      ],
      lastSeq: 1,
      lastMessage: {
        _id: expect.any(String),
        conversationId: id,
        seq: 1,
        senderId: bob.userId,
        content: 'hello',
        sentAt: time,
        editedAt: null,
        deletedAt: null,
        replyTo: null,
        mentions: [],
        reactions: {},
      },
      unread: 1,
      createdAt: time,
      updatedAt: time,
    });
    expect(headers.etag).toMatch(/^"1-[A-Za-z0-9_-]{22}"$/);
  });

  it('gains and loses members', async () => {
    const id = await group(server, ada);
    const added = await server.ask(ada, {
      method: 'POST',
      url: `/conversations/${id}/members`,
      form: { participant_id: bob.userId },
    });
    expect([added.status, added.json._id, added.headers.location]).toEqual([
      202,
      bob.userId,
      `/api/v1/conversations/${id}/members`,
    ]);
    await server.ask(bob, {
      method: 'POST',
      url: `/api/v1/conversations/${id}/members`,
      payload: { participant_id: eve.userId },
    });
    const members = await read(server, eve, `/api/v1/conversations/${id}/members`, { query: { limit: '2' } });
    expect(members.json.items.map(({ userId }: { userId: string }) => userId)).toEqual([ada.userId, bob.userId]);
    const rest = await server.ask(eve, { method: 'GET', url: /<(.+)>/.exec(members.headers.link ?? '')?.[1] ?? '' });
    expect(rest.json).toEqual({ items: [expect.objectContaining({ userId: eve.userId })], next: null });

    const remove = { method: 'DELETE', url: `/conversations/${id}/members/${eve.userId}` } as const;
    expectProblem(await server.ask(bob, remove), 403, 'forbidden');
    expect((await server.ask(ada, remove)).status).toBe(202);
    expect((await server.ask(bob, { method: 'POST', url: `/conversations/${id}/leave` })).status).toBe(202);
    expectProblem(await server.ask(ada, { method: 'POST', url: `/conversations/${id}/leave` }), 409, 'rule-broken');
    expectProblem(await read(server, eve, `/api/v1/conversations/${id}`), 404, 'not-found');
    expect((await read(server, ada, `/api/v1/conversations/${id}`)).json.memberCount).toBe(1);
  });

  it.each(['/conversations/ID/delete', '/api/v1/conversations/ID'])('is deleted by its owner at %s', async (path) => {
    const id = await group(server, ada, bob);
    const url = path.replace('ID', id);
    expectProblem(await server.ask(bob, { method: 'DELETE', url }), 403, 'forbidden');
    const done = await server.ask(ada, { method: 'DELETE', url });
    expect([done.status, done.json._id]).toEqual([202, id]);
    const again = await server.ask(ada, { method: 'DELETE', url });
    expect(again.json).toEqual(done.json);
    expectProblem(await read(server, ada, `/api/v1/conversations/${id}`), 404, 'not-found');
    expectProblem(await read(server, bob, `/api/v1/conversations/${id}/messages`), 404, 'not-found');
  });
});

describe('a message', () => {
  it('is sent under every path, as JSON and as a form', async () => {
    const id = await group(server, ada, bob);
    const ways: readonly Asking[] = [
      { method: 'POST', url: `/conversations/${id}`, payload: { message_content: 'Grüße & mehr' } },
      { method: 'POST', url: `/conversations/${id}/`, form: { message_content: 'Grüße & mehr' } },
      { method: 'POST', url: `/api/v1/conversations/${id}`, form: { message_content: 'Grüße & mehr' } },
      { method: 'POST', url: `/api/v1/conversations/${id}/messages`, payload: { content: 'Grüße & mehr' } },
      { method: 'POST', url: `/api/v1/conversations/${id}/messages/`, form: { content: 'Grüße & mehr' } },
    ];
    for (const way of ways) {
      const answer = await server.ask(bob, way);
      expect(answer.status).toBe(202);
      const message = await read(server, ada, answer.headers.location ?? '');
      expect(message.json).toMatchObject({ _id: answer.json._id, content: 'Grüße & mehr', senderId: bob.userId });
    }
    expect((await read(server, ada, `/api/v1/conversations/${id}`)).json.lastSeq).toBe(ways.length);
  });

  it('with an id from its sender is sent once, however often it is repeated', async () => {
    const id = await group(server, ada, bob);
    const messageId = createSystemRandom().uuid(Date.now());
    const first = await write(ada, id, 'once', { messageId });
    const second = await write(ada, id, 'once', { messageId });
    expect(first.json._id).toBe(messageId);
    expect(second.json).toEqual(first.json);
    expectProblem(await write(bob, id, 'mine', { messageId }), 409, 'already-exists');
    expect(await streamOf(id)).toHaveLength(2);
  });

  it('may reply to another, one level deep, and mention members', async () => {
    const id = await group(server, ada, bob);
    const question = await write(ada, id, 'well?', { replyTo: null });
    const answer = await write(bob, id, 'yes', { replyTo: question.json._id, mentions: [ada.userId, eve.userId] });
    const { json } = await read(server, ada, answer.headers.location ?? '');
    expect(json).toMatchObject({ replyTo: question.json._id, mentions: [ada.userId] });
    expectProblem(await write(ada, id, 'no', { replyTo: answer.json._id }), 409, 'rule-broken');
  });

  it('is 404 in another conversation', async () => {
    const [id, other] = [await group(server, ada), await group(server, ada)];
    const sent = await write(ada, id, 'here');
    expectProblem(
      await read(server, ada, `/api/v1/conversations/${other}/messages/${sent.json._id}`),
      404,
      'not-found',
    );
  });
});

describe('history', () => {
  it('lists newest first, page by page, without gaps or duplicates', async () => {
    const id = await group(server, ada, bob);
    for (let i = 1; i <= 25; i++) await write(ada, id, `message ${i}`);
    const seen: number[] = [];
    let url = `/api/v1/conversations/${id}/messages`;
    for (let pages = 0; url !== ''; pages++) {
      const page = await read(server, bob, url);
      seen.push(...page.json.items.map(({ seq }: { seq: number }) => seq));
      url = /<(.+)>/.exec(page.headers.link ?? '')?.[1] ?? '';
      expect(pages).toBeLessThan(4);
    }
    expect(seen).toEqual(Array.from({ length: 25 }, (_, i) => 25 - i));
  });

  it('lists oldest first after a message', async () => {
    const id = await group(server, ada);
    for (let i = 1; i <= 5; i++) await write(ada, id, `message ${i}`);
    const page = await read(server, ada, `/api/v1/conversations/${id}/messages`, { query: { after: '2', limit: '2' } });
    expect(page.json.items.map(({ seq }: { seq: number }) => seq)).toEqual([3, 4]);
    expect(page.json.next).toBe('4');
    expect(page.headers.link).toBe(`</api/v1/conversations/${id}/messages?after=4&limit=2>; rel="next"`);
    const both = await read(server, ada, `/api/v1/conversations/${id}/messages`, {
      query: { after: '2', before: '4' },
    });
    expectProblem(both, 400, 'malformed', ['after']);
  });

  it('starts where the member joined', async () => {
    const id = await group(server, ada);
    await write(ada, id, 'before');
    await server.ask(ada, {
      method: 'POST',
      url: `/conversations/${id}/members`,
      payload: { participant_id: bob.userId },
    });
    const own = await read(server, bob, `/api/v1/conversations/${id}`);
    expect(own.json).toMatchObject({ lastSeq: 1, lastMessage: null, unread: 0 });
    const earlier = (await read(server, ada, `/api/v1/conversations/${id}`)).json.lastMessage._id;
    expectProblem(await read(server, bob, `/api/v1/conversations/${id}/messages/${earlier}`), 404, 'not-found');
    await write(ada, id, 'after');
    const { json } = await read(server, bob, `/api/v1/conversations/${id}/messages`);
    expect(json).toEqual({ items: [expect.objectContaining({ content: 'after' })], next: null });
  });
});

describe('marking as read', () => {
  it('moves the mark, and only forward', async () => {
    const id = await group(server, ada, bob);
    for (const content of ['a', 'b', 'c']) await write(ada, id, content);
    const url = `/api/v1/conversations/${id}/read`;
    const unread = async () => (await read(server, bob, `/api/v1/conversations/${id}`)).json.unread;
    expect(await unread()).toBe(3);
    const marked = await server.ask(bob, { method: 'PUT', url, payload: { seq: 2 } });
    expect([marked.status, marked.json._id]).toEqual([202, id]);
    expect(await unread()).toBe(1);
    const stale = await server.ask(bob, { method: 'PUT', url, form: { seq: '1' } });
    expect(stale.json).toEqual(marked.json);
    expect(await unread()).toBe(1);
    expect((await server.ask(bob, { method: 'PUT', url })).status).toBe(202);
    expect(await unread()).toBe(0);
    expect((await server.ask(bob, { method: 'PUT', url, payload: {} })).status).toBe(202);
  });
});

describe('the list of conversations', () => {
  it('is ordered by latest activity, page by page', async () => {
    const person = await signUp(server, 'lister');
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) ids.push(await group(server, person, bob));
    await write(bob, ids[0] ?? '', 'news');
    const first = await read(server, person, '/api/v1/conversations', { query: { limit: '2' } });
    expect(first.json.items.map(({ _id }: { _id: string }) => _id)).toEqual([ids[0], ids[2]]);
    expect(first.json.items[0]).toMatchObject({ unread: 1, lastMessage: { content: 'news' } });
    const second = await server.ask(person, { method: 'GET', url: /<(.+)>/.exec(first.headers.link ?? '')?.[1] ?? '' });
    expect(second.json).toEqual({ items: [expect.objectContaining({ _id: ids[1] })], next: null });
  });
});

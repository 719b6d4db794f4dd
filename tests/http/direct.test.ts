import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { directConversationId } from '../../src/kernel/ids.ts';
import { expectProblem, type Person, read, type Server, signUp, startServer } from '../support/http.ts';

let server: Server;
let ada: Person;

beforeAll(async () => {
  server = await startServer();
  ada = await signUp(server, 'ada');
});
afterAll(() => server.close());

describe('the conversation with another user', () => {
  const paths = ['/api/v1/chat/convo/one-to-one', '/api/v1/conversations/one-to-one'];

  it.each(paths)('is the same for both users, before and after the first message, at %s', async (path) => {
    const [ann, ben] = await Promise.all([
      signUp(server, `ann${paths.indexOf(path)}`),
      signUp(server, `ben${paths.indexOf(path)}`),
    ]);
    const id = directConversationId(ann.userId, ben.userId);
    const details = async (person: Person, other: Person) => {
      const minPosition = (await server.log.head()) ?? '';
      const query = { otherUserId: other.userId, minPosition };
      return (await server.ask(person, { method: 'POST', url: path, query })).json;
    };
    expect(await details(ann, ben)).toMatchObject({
      _id: id,
      kind: 'direct',
      exists: false,
      messages: [],
      members: [],
    });
    expect(await details(ben, ann)).toMatchObject({ _id: id, exists: false });
    const url = `${path}/message`;
    const empty = await read(server, ann, url, { query: { otherUserId: ben.userId } });
    expect(empty.json).toEqual({ items: [], next: null });

    const say = (person: Person, other: Person, content: string) =>
      server.ask(person, { method: 'POST', url, query: { otherUserId: other.userId }, form: { content } });
    const both = await Promise.all([say(ann, ben, 'hello Ben'), say(ben, ann, 'hello Ann')]);
    expect(both.map(({ status }) => status)).toEqual([202, 202]);
    expect(both[0]?.headers.location).toBe(`/api/v1/conversations/${id}/messages/${both[0]?.json._id}`);
    expect((await server.log.readStream(`conversation-${id}`)).events.map(({ type }) => type)).toEqual([
      'ConversationCreated',
      'MessageSent',
      'MessageSent',
    ]);

    const known = await details(ben, ann);
    expect(known).toMatchObject({ _id: id, exists: true, memberCount: 2, ownerId: null, name: null, lastSeq: 2 });
    expect(known.messages.map(({ seq }: { seq: number }) => seq)).toEqual([2, 1]);
    const page = await read(server, ann, url, { query: { otherUserId: ben.userId, limit: '1' } });
    expect(page.json).toMatchObject({ items: [{ seq: 2 }], next: '1' });
    const next = await server.ask(ann, { method: 'GET', url: /<(.+)>/.exec(page.headers.link ?? '')?.[1] ?? '' });
    expect(next.json).toMatchObject({ items: [{ seq: 1 }], next: null });
    expect((await read(server, ann, url, { query: { otherUserId: ben.userId, from: '1' } })).json.items).toHaveLength(
      1,
    );
  });

  it('requires another user who exists', async () => {
    const url = '/api/v1/chat/convo/one-to-one';
    const at = (otherUserId: string) => server.ask(ada, { method: 'POST', url, query: { otherUserId } });
    expectProblem(await at('0123456789abcdef01234567'), 404, 'not-found');
    expectProblem(await at(ada.userId), 404, 'not-found');
    expectProblem(await at('x'), 422, 'out-of-range', ['otherUserId']);
    expectProblem(await server.ask(ada, { method: 'POST', url }), 400, 'malformed', ['otherUserId']);
    const toMyself = await server.ask(ada, {
      method: 'POST',
      url: `${url}/message`,
      query: { otherUserId: ada.userId },
      payload: { content: 'x' },
    });
    expectProblem(toMyself, 409, 'rule-broken');
  });
});

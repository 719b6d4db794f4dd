import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSystemRandom } from '../../src/adapters/system/system-random.ts';
import { group, type Person, type Server, signUp, startServer } from '../support/http.ts';
import { closeAll, goLive, open } from '../support/live.ts';

let server: Server;
let ann: Person;
let bob: Person;
let eve: Person;
let conversationId: string;

beforeAll(async () => {
  server = await startServer({ config: { socketsPerUser: 3 } });
  [ann, bob, eve] = [await signUp(server, 'ann'), await signUp(server, 'bob'), await signUp(server, 'eve')];
});
beforeEach(async () => {
  conversationId = await group(server, ann, bob);
});
afterEach(() => closeAll(server));
afterAll(() => server.close());

const post = (content: string) =>
  server.ask(ann, { method: 'POST', url: `/api/v1/conversations/${conversationId}/messages`, payload: { content } });

describe('a message', () => {
  it('reaches every device of every member, the sender included, as the same bytes, and no one else', async () => {
    const devices = [
      await goLive(server, ann),
      await goLive(server, ann),
      await goLive(server, bob),
      await goLive(server, bob),
    ];
    const stranger = await goLive(server, eve);
    const ack = await devices[0]?.request({ type: 'send', conversationId, content: 'hello' });
    expect(ack).toStrictEqual({
      type: 'ack',
      id: 'c3',
      ok: true,
      _id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      position: expect.any(String),
    });
    const received = await Promise.all(devices.map((device) => device.message('hello')));
    expect(received[0]).toStrictEqual({
      event: 'message:sent',
      id: expect.stringMatching(new RegExp(`^${await server.log.epoch()}\\.${ack.position}\\.0-[0-9a-f]{8}$`)),
      at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      user: { _id: ann.userId },
      payload: {
        message: {
          _id: ack._id,
          conversationId,
          seq: 1,
          senderId: ann.userId,
          content: 'hello',
          sentAt: expect.any(String),
          editedAt: null,
          deletedAt: null,
          replyTo: null,
          mentions: [],
          reactions: {},
        },
      },
    });
    const texts = devices.map(({ texts }) => texts.filter((text) => text.includes('message:sent')));
    expect(new Set(texts.flat()).size).toBe(1);
    await stranger.request({ type: 'ping' });
    expect(stranger.contents()).toStrictEqual([]);
  });

  it('to another user creates the 1-1 conversation, and can be read at the position of its ack', async () => {
    const [anns, eves] = [await goLive(server, ann), await goLive(server, eve)];
    const { _id, position } = await anns.request({ type: 'send', otherUserId: eve.userId, content: 'first' });
    const { payload } = await eves.message('first');
    const url = `/api/v1/conversations/${payload.message.conversationId}/messages`;
    const read = await server.ask(eve, { method: 'GET', url, headers: { 'min-position': position } });
    expect(read.json.items.map((message: { _id: string }) => message._id)).toStrictEqual([_id]);
    // The frame has the same shape as the query.
    expect(read.json.items).toStrictEqual([payload.message]);
  });

  it('that was sent over HTTP is delivered too', async () => {
    const bobs = await goLive(server, bob);
    expect((await post('over HTTP')).status).toBe(202);
    await bobs.message('over HTTP');
  });

  it('sent twice with the same id is one message', async () => {
    const anns = await goLive(server, ann);
    const frame = { type: 'send', conversationId, content: 'once', messageId: createSystemRandom().uuid(Date.now()) };
    const acks = await Promise.all([anns.request(frame), anns.request(frame)]);
    expect(acks.map(({ ok, _id, position }) => [ok, _id, position])).toStrictEqual(
      Array(2).fill([true, frame.messageId, acks[0].position]),
    );
    await anns.request({ type: 'send', conversationId, content: 'end' });
    await anns.message('end');
    expect(anns.contents()).toStrictEqual(['once', 'end']);
  });

  it('is acknowledged when it is durable and not earlier, and later frames wait', async () => {
    const anns = await goLive(server, ann);
    const [asked, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    server.events.beforeAppend.hook = async () => {
      asked.resolve();
      await gate.promise;
    };
    const [sent, pinged] = [
      anns.request({ type: 'send', conversationId, content: 'durable' }),
      anns.request({ type: 'ping' }),
    ];
    await asked.promise;
    await anns.settled();
    const before = anns.frames.length;
    server.events.beforeAppend.hook = async () => {};
    gate.resolve();
    const acks = await Promise.all([sent, pinged]);
    expect(anns.frames.slice(before).filter(({ type }) => type === 'ack')).toStrictEqual(acks);
    expect(acks.map(({ ok }) => ok)).toStrictEqual([true, true]);
  });

  it('that cannot be written is rejected with a time to try again; one of unknown outcome is written once', async () => {
    const anns = await goLive(server, ann);
    server.events.faults.push('away');
    expect(await anns.request({ type: 'send', conversationId, content: 'lost' })).toMatchObject({
      ok: false,
      problem: { code: 'unavailable', status: 503, instance: '/api/v1/live' },
      retryAfter: 1,
    });
    server.events.faults.push('unknown-after-write');
    expect(await anns.request({ type: 'send', conversationId, content: 'kept' })).toMatchObject({ ok: true });
    await anns.request({ type: 'send', conversationId, content: 'end' });
    await anns.message('end');
    expect(anns.contents()).toStrictEqual(['kept', 'end']);
  });

  it('is rejected for conversations of others and for users who do not exist', async () => {
    const eves = await goLive(server, eve);
    const to = (target: object) => eves.request({ type: 'send', content: 'hello?', ...target });
    expect(await to({ conversationId })).toMatchObject({ ok: false, problem: { code: 'not-found', status: 404 } });
    expect(await to({ otherUserId: 'f'.repeat(24) })).toMatchObject({ ok: false, problem: { code: 'not-found' } });
    expect(await to({ otherUserId: eve.userId })).toMatchObject({ ok: false, problem: { code: 'rule-broken' } });
    const both = await to({ conversationId, otherUserId: ann.userId });
    expect(both).toMatchObject({ ok: false, problem: { code: 'malformed', errors: [{ path: '/conversationId' }] } });
    expect(await to({})).toStrictEqual({ ...both, id: expect.any(String) });
  });
});

it('read marks are sent to the other members, and cannot exceed the last message', async () => {
  const [anns, bobs] = [await goLive(server, ann), await goLive(server, bob)];
  await post('to be read');
  await bobs.message('to be read');
  expect(await bobs.request({ type: 'open', conversationId })).toMatchObject({ ok: true, _id: conversationId });
  const { payload } = await anns.frame(({ event }) => event === 'conversation:opened');
  expect(payload).toStrictEqual({ conversationId, userId: bob.userId, readSeq: 1, lastOpenedAt: expect.any(String) });
  expect(await bobs.request({ type: 'open', conversationId, seq: 2 })).toMatchObject({
    ok: false,
    problem: { code: 'out-of-range', status: 422, errors: [{ path: '/seq' }] },
  });
});

it('a removed member is informed of that, and gets nothing after it', async () => {
  const [anns, bobs] = [await goLive(server, ann), await goLive(server, bob)];
  const url = `/api/v1/conversations/${conversationId}/members/${bob.userId}`;
  expect((await server.ask(ann, { method: 'DELETE', url })).status).toBe(202);
  await post('after the removal');
  await anns.message('after the removal');
  await bobs.frame(({ event }) => event === 'conversation:member:removed');
  await bobs.request({ type: 'ping' });
  expect(bobs.contents()).toStrictEqual([]);
  expect(await bobs.request({ type: 'send', conversationId, content: 'hello?' })).toMatchObject({
    problem: { code: 'not-found' },
  });
});

describe('resuming', () => {
  const auth = (extra: object = {}) => ({ type: 'auth', token: bob.accessToken, ...extra });

  it('with `after` in auth delivers missed frames after its ack, in order', async () => {
    const before = await goLive(server, bob);
    await post('seen');
    const { id: after } = await before.message('seen');
    await before.close();
    for (const content of ['1', '2', '3']) await post(content);
    const back = await open(server);
    expect(await back.request(auth({ after }))).toStrictEqual({
      type: 'ack',
      id: 'c1',
      ok: true,
      outcome: 'resumed',
      after,
    });
    await back.message('3');
    expect(back.frames[0].type).toBe('ack');
    expect(back.contents()).toStrictEqual(['1', '2', '3']);
  });

  it('with a resume frame continues after the id that auth returned, when nothing was received', async () => {
    const first = await open(server);
    const { after } = await first.request(auth());
    await first.close();
    await post('missed');
    const back = await open(server);
    await back.request(auth());
    expect(await back.request({ type: 'resume', after })).toMatchObject({ ok: true, outcome: 'resumed', after });
    await back.message('missed');
    expect(back.contents()).toStrictEqual(['missed']);
  });

  it('that is not possible gives one resync, and delivery continues from its place', async () => {
    const back = await open(server);
    const ack = await back.request(auth({ after: 'another-log.0000000000000001.0' }));
    expect(ack).toMatchObject({ ok: true, outcome: 'resync' });
    const resync = await back.frame(({ event }) => event === 'resync');
    expect(resync).toStrictEqual({
      event: 'resync',
      id: ack.after,
      at: expect.any(String),
      user: null,
      payload: { position: await server.log.head() },
    });
    await post('next');
    await back.message('next');
    expect(back.frames.map(({ type, event }) => type ?? event)).toStrictEqual(['ack', 'resync', 'message:sent']);
  });

  it('is possible once, and only before any other frame', async () => {
    const bobs = await goLive(server, bob);
    expect(await bobs.request({ type: 'resume', after: 'x' })).toMatchObject({
      problem: { code: 'rule-broken', status: 409 },
    });
    expect(await bobs.request(auth({ after: 'x' }))).toMatchObject({ problem: { code: 'rule-broken' } });
    expect(await bobs.request(auth())).toStrictEqual({ type: 'ack', id: 'c5', ok: true });
    await post('still live');
    await bobs.message('still live');
  });
});

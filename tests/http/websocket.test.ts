import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { uuidv7 } from '../../src/kernel/ids.ts';
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
  it('is heard by every device of its members, that of the sender too, in the same words, and by nobody else', async () => {
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
    const heard = await Promise.all(devices.map((device) => device.message('hello')));
    expect(heard[0]).toStrictEqual({
      event: 'message:sent',
      id: `${await server.events.epoch()}.${ack.position}.0`,
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
    expect(stranger.heard()).toStrictEqual([]);
  });

  it('to another user begins the 1-1 conversation, and can be read back at the position of its ack', async () => {
    const [anns, eves] = [await goLive(server, ann), await goLive(server, eve)];
    const { _id, position } = await anns.request({ type: 'send', otherUserId: eve.userId, content: 'first' });
    const { payload } = await eves.message('first');
    const url = `/api/v1/conversations/${payload.message.conversationId}/messages`;
    const read = await server.ask(eve, { method: 'GET', url, headers: { 'min-position': position } });
    expect(read.json.items.map((message: { _id: string }) => message._id)).toStrictEqual([_id]);
    // What is heard is what is read.
    expect(read.json.items).toStrictEqual([payload.message]);
  });

  it('that was sent over HTTP is heard too', async () => {
    const bobs = await goLive(server, bob);
    expect((await post('over HTTP')).status).toBe(202);
    await bobs.message('over HTTP');
  });

  it('sent twice under one id is one message', async () => {
    const anns = await goLive(server, ann);
    const frame = { type: 'send', conversationId, content: 'once', messageId: uuidv7(Date.now()) };
    const acks = await Promise.all([anns.request(frame), anns.request(frame)]);
    expect(acks.map(({ ok, _id, position }) => [ok, _id, position])).toStrictEqual(
      Array(2).fill([true, frame.messageId, acks[0].position]),
    );
    await anns.request({ type: 'send', conversationId, content: 'end' });
    await anns.message('end');
    expect(anns.heard()).toStrictEqual(['once', 'end']);
  });

  it('is acknowledged when it is durable and no earlier, and what was sent behind it waits', async () => {
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

  it('that cannot be written is refused with when to try again, and that of unknown outcome is written once', async () => {
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
    expect(anns.heard()).toStrictEqual(['kept', 'end']);
  });

  it('goes to a conversation that one is in, and to nobody who is not there', async () => {
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

it('how far one has read is told to the others, and only what there is can be read', async () => {
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

it('who was removed hears of that, and of nothing behind it', async () => {
  const [anns, bobs] = [await goLive(server, ann), await goLive(server, bob)];
  const url = `/api/v1/conversations/${conversationId}/members/${bob.userId}`;
  expect((await server.ask(ann, { method: 'DELETE', url })).status).toBe(202);
  await post('behind his back');
  await anns.message('behind his back');
  await bobs.frame(({ event }) => event === 'conversation:member:removed');
  await bobs.request({ type: 'ping' });
  expect(bobs.heard()).toStrictEqual([]);
  expect(await bobs.request({ type: 'send', conversationId, content: 'hello?' })).toMatchObject({
    problem: { code: 'not-found' },
  });
});

describe('coming back', () => {
  const auth = (extra: object = {}) => ({ type: 'auth', token: bob.accessToken, ...extra });

  it('with `after` in auth, what was missed comes behind its ack, in order', async () => {
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
    expect(back.heard()).toStrictEqual(['1', '2', '3']);
  });

  it('with a frame of its own, behind what auth answered when nothing was heard', async () => {
    const first = await open(server);
    const { after } = await first.request(auth());
    await first.close();
    await post('missed');
    const back = await open(server);
    await back.request(auth());
    expect(await back.request({ type: 'resume', after })).toMatchObject({ ok: true, outcome: 'resumed', after });
    await back.message('missed');
    expect(back.heard()).toStrictEqual(['missed']);
  });

  it('what cannot be resumed is one resync, from whose place it goes on', async () => {
    const back = await open(server);
    const ack = await back.request(auth({ after: 'another-log.0000000000000001.0' }));
    expect(ack).toMatchObject({ ok: true, outcome: 'resync' });
    const resync = await back.frame(({ event }) => event === 'resync');
    expect(resync).toStrictEqual({
      event: 'resync',
      id: ack.after,
      at: expect.any(String),
      user: null,
      payload: { position: await server.events.head() },
    });
    await post('next');
    await back.message('next');
    expect(back.frames.map(({ type, event }) => type ?? event)).toStrictEqual(['ack', 'resync', 'message:sent']);
  });

  it('is possible once, and only before anything else', async () => {
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

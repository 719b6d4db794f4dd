import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CONTENT_MAX } from '../../src/commands/conversation.ts';
import { BODY_MAX } from '../../src/http/app.ts';
import { defaultRates } from '../../src/http/request/rate-limits.ts';
import { type Person, type Server, signUp, startServer } from '../support/http.ts';
import { closeAll, goLive, type Live, open } from '../support/live.ts';
import { manualClock } from '../support/manual-clock.ts';

const NOBODY = 'f'.repeat(24);
const send = { type: 'send', otherUserId: NOBODY, content: 'hello' };

describe('an invalid frame', () => {
  let server: Server;
  let ann: Person;
  let live: Live;

  beforeAll(async () => {
    server = await startServer();
    ann = await signUp(server, 'ann');
  });
  beforeEach(async () => {
    live = await goLive(server, ann);
  });
  afterEach(() => closeAll(server));
  afterAll(() => server.close());

  /** Nothing was written, and the connection still works. */
  async function expectNoHarm(act: () => Promise<unknown>): Promise<void> {
    const before = await server.log.head();
    await act();
    expect(await server.log.head()).toBe(before);
    expect(await live.request({ type: 'ping' })).toMatchObject({ ok: true });
  }

  it.each([
    ['broken JSON', '{"type":"ping"'],
    ['other text', 'hello'],
    ['an empty message', ''],
    ['a list', '[]'],
    ['null', 'null'],
    ['a string', '"ping"'],
    ['a binary message', Buffer.from('{"type":"ping","id":"x"}')],
  ])('(%s) is answered with an error', async (_name, sent) => {
    await expectNoHarm(async () => {
      live.send(sent);
      expect(await live.frame(({ type }) => type === 'error')).toStrictEqual({
        type: 'error',
        problem: {
          type: 'urn:parley:problem:malformed',
          title: 'Malformed request',
          status: 400,
          detail: 'a frame must be a JSON object in a text message',
          instance: '/api/v1/live',
          code: 'malformed',
        },
      });
    });
  });

  it.each([
    ['no type', {}, 'malformed', '/type'],
    ['an unknown type', { type: 'shout' }, 'malformed', '/type'],
    ['a type that is not a string', { type: 5 }, 'malformed', '/type'],
    ['a type named like a property of every object', { type: 'constructor' }, 'malformed', '/type'],
    ['an unknown field', { type: 'ping', extra: 1 }, 'malformed', '/extra'],
    ['a missing field', { type: 'send', otherUserId: NOBODY }, 'malformed', '/content'],
    ['a number instead of a string', { ...send, content: 5 }, 'malformed', '/content'],
    ['an empty string', { ...send, content: '' }, 'out-of-range', '/content'],
    ['too long a string', { ...send, content: 'x'.repeat(CONTENT_MAX + 1) }, 'out-of-range', '/content'],
    ['a lone surrogate', { ...send, content: 'a\ud800b' }, 'malformed', '/content'],
    ['an invalid id of a user', { ...send, otherUserId: 'bob' }, 'out-of-range', '/otherUserId'],
    ['an invalid id of a message', { ...send, messageId: 'x' }, 'out-of-range', '/messageId'],
    ['an invalid reply', { ...send, replyTo: 7 }, 'malformed', '/replyTo'],
    ['too many mentions', { ...send, mentions: Array(101).fill(NOBODY) }, 'out-of-range', '/mentions'],
    ['a negative mark', { type: 'open', conversationId: NOBODY, seq: -1 }, 'out-of-range', '/seq'],
    ['a fractional mark', { type: 'open', conversationId: NOBODY, seq: 0.5 }, 'malformed', '/seq'],
    ['too long an id to resume from', { type: 'resume', after: 'x'.repeat(129) }, 'out-of-range', '/after'],
  ])('(%s) is rejected in its ack, with the path of the field', async (_name, frame, code, path) => {
    await expectNoHarm(async () => {
      const { ok, problem } = await live.request(frame);
      expect(ok).toBe(false);
      expect([problem.code, problem.errors.map((error: { path: string }) => error.path)]).toStrictEqual([code, [path]]);
    });
  });

  it.each([[5], [null], [['x']], [{ a: 1 }]])(
    'with an id that is not a string (%j) is answered without it',
    async (id) => {
      await expectNoHarm(async () => {
        live.send({ type: 'ping', id });
        expect(await live.frame(({ type }) => type === 'error')).toMatchObject({ problem: { code: 'malformed' } });
      });
    },
  );

  it('with too long an id is answered with a shortened one', async () => {
    live.send({ type: 'ping', id: 'x'.repeat(65) });
    const { id, ok } = await live.frame(({ type, ok }) => type === 'ack' && !ok);
    expect([id, ok]).toStrictEqual(['x'.repeat(64), false]);
  });

  it('without an id is answered only when it fails', async () => {
    const before = live.frames.length;
    live.send({ type: 'ping' });
    live.send({ type: 'shout' });
    await live.request({ type: 'ping' });
    expect(live.frames.slice(before).map(({ type }) => type)).toStrictEqual(['error', 'ack']);
  });

  it('may be as large as the largest message over REST, however it is escaped', async () => {
    const content = '\\ud83d\\ude00'.repeat(CONTENT_MAX);
    const target = await signUp(server, 'bob');
    live.send(`{"type":"send","id":"largest","otherUserId":"${target.userId}","content":"${content}"}`);
    expect(await live.frame(({ id }) => id === 'largest')).toMatchObject({ ok: true });
    const url = `/api/v1/chat/convo/one-to-one/message?otherUserId=${target.userId}`;
    const headers = { 'content-type': 'application/json' };
    const overRest = await server.ask(ann, { method: 'POST', url, payload: `{"content":"${content}"}`, headers });
    expect(overRest.status).toBe(202);
  });

  it('of more than 256 KiB closes the connection with 1009, and no other', async () => {
    const other = await goLive(server, ann);
    live.send({ type: 'ping', id: 'x'.repeat(BODY_MAX) });
    expect(await live.closed).toMatchObject({ code: 1009 });
    expect(await other.request({ type: 'ping' })).toMatchObject({ ok: true });
  });

  it('of invalid UTF-8 closes the connection with 1007', async () => {
    await live.close();
    live = await open(server);
    live.sendRaw(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28]));
    expect(await live.closed).toMatchObject({ code: 1007 });
    live = await goLive(server, ann);
  });
});

it('a large number of frames is answered completely and in order', async () => {
  const server = await startServer();
  const live = await goLive(server, await signUp(server, 'ann'));
  const ids = Array.from({ length: 1_000 }, (_, n) => `n${n}`);
  for (const id of ids) live.send({ type: 'ping', id });
  await live.until(() => live.frames.some(({ id }) => id === 'n999'));
  expect(live.frames.slice(-1_000).map(({ id, ok }) => (ok ? id : null))).toStrictEqual(ids);
  await closeAll(server);
  await server.close();
});

describe('rate limits', () => {
  const { burst, perMinute } = defaultRates.frame;
  const refused = { ok: false, problem: { code: 'too-many-requests', status: 429 }, retryAfter: expect.any(Number) };

  it('of frames are per user, and report when to try again', async () => {
    const clock = manualClock(Date.now());
    const server = await startServer({ clock, config: { rateLimits: {} } });
    const [ann, bob] = [await signUp(server, 'ann'), await signUp(server, 'bob')];
    const [first, second, other] = [await goLive(server, ann), await goLive(server, ann), await goLive(server, bob)];
    // Each of them has sent `ping` already.
    for (let n = 2; n < burst; n++) expect(await first.request({ type: 'ping' })).toMatchObject({ ok: true });
    expect(await first.request({ type: 'ping' })).toMatchObject(refused);
    expect(await second.request({ type: 'send', otherUserId: bob.userId, content: 'hello' })).toMatchObject(refused);
    expect(await other.request({ type: 'ping' })).toMatchObject({ ok: true });
    await clock.advance(60_000 / perMinute);
    expect(await second.request({ type: 'ping' })).toMatchObject({ ok: true });
    await closeAll(server);
    await server.close();
  });

  it('of messages are shared with HTTP, and do not affect other frames', async () => {
    const clock = manualClock(Date.now());
    const server = await startServer({ clock, config: { rateLimits: { message: { burst: 2, perMinute: 1 } } } });
    const [ann, bob] = [await signUp(server, 'ann'), await signUp(server, 'bob')];
    const live = await goLive(server, ann);
    const message = { type: 'send', otherUserId: bob.userId, content: 'hello' };
    expect(await live.request(message)).toMatchObject({ ok: true });
    const url = `/api/v1/chat/convo/one-to-one/message?otherUserId=${bob.userId}`;
    expect((await server.ask(ann, { method: 'POST', url, payload: { content: 'hello' } })).status).toBe(202);
    expect(await live.request(message)).toMatchObject({ ...refused, retryAfter: 60 });
    expect(await live.request({ type: 'ping' })).toMatchObject({ ok: true });
    await closeAll(server);
    await server.close();
  });

  it('close the connection of a client that keeps exceeding them', async () => {
    const clock = manualClock(Date.now());
    const server = await startServer({ clock, config: { rateLimits: { frame: { burst: 2, perMinute: 1 } } } });
    const live = await goLive(server, await signUp(server, 'ann'));
    for (let n = 0; n < 1_100; n++) live.send({ type: 'ping', id: 'x' });
    expect(await live.closed).toMatchObject({ code: 4429 });
    await server.close();
  });

  it('of invalid tokens are per network, and do not apply to tokens that were verified before', async () => {
    const clock = manualClock(Date.now());
    const server = await startServer({ clock, config: { rateLimits: { badToken: { burst: 2, perMinute: 1 } } } });
    const [ann, bob] = [await signUp(server, 'ann'), await signUp(server, 'bob')];
    await (await goLive(server, ann)).close();
    for (let n = 0; n < 2; n++) {
      const live = await open(server);
      expect(await live.request({ type: 'auth', token: 'nonsense' })).toMatchObject({ ok: false });
      await live.closed;
    }
    for (const token of ['nonsense', bob.accessToken]) {
      const live = await open(server);
      const refused = { ok: false, problem: { status: 429, code: 'too-many-requests' }, retryAfter: 60 };
      expect(await live.request({ type: 'auth', token })).toMatchObject(refused);
      await live.close();
    }
    await (await goLive(server, ann)).close();
    await clock.advance(60_000);
    await (await goLive(server, bob)).close();
    await server.close();
  });
});

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CONTENT_MAX } from '../../src/commands/conversation.ts';
import { defaultRates } from '../../src/http/request/rate-limits.ts';
import { type Person, type Server, signUp, startServer } from '../support/http.ts';
import { closeAll, goLive, type Live, open } from '../support/live.ts';
import { manualClock } from '../support/manual-clock.ts';

const NOBODY = 'f'.repeat(24);
const send = { type: 'send', otherUserId: NOBODY, content: 'hello' };

describe('a frame that cannot be', () => {
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

  /** Neither was anything written nor the connection harmed. */
  async function expectNoHarm(act: () => Promise<unknown>): Promise<void> {
    const before = await server.events.head();
    await act();
    expect(await server.events.head()).toBe(before);
    expect(await live.request({ type: 'ping' })).toMatchObject({ ok: true });
  }

  it.each([
    ['broken JSON', '{"type":"ping"'],
    ['no JSON', 'hello'],
    ['nothing', ''],
    ['a list', '[]'],
    ['null', 'null'],
    ['a text', '"ping"'],
    ['bytes', Buffer.from('{"type":"ping","id":"x"}')],
  ])('%s is answered with an error', async (_name, sent) => {
    await expectNoHarm(async () => {
      live.send(sent);
      expect(await live.frame(({ type }) => type === 'error')).toStrictEqual({
        type: 'error',
        problem: {
          type: 'urn:parley:problem:malformed',
          title: 'Malformed request',
          status: 400,
          detail: 'a frame is a JSON object in a text message',
          instance: '/api/v1/live',
          code: 'malformed',
        },
      });
    });
  });

  it.each([
    ['no type', {}, 'malformed', '/type'],
    ['a type that is not known', { type: 'shout' }, 'malformed', '/type'],
    ['a type of another kind', { type: 5 }, 'malformed', '/type'],
    ['the name of what every object has', { type: 'constructor' }, 'malformed', '/type'],
    ['a surplus field', { type: 'ping', extra: 1 }, 'malformed', '/extra'],
    ['a missing field', { type: 'send', otherUserId: NOBODY }, 'malformed', '/content'],
    ['a number for a text', { ...send, content: 5 }, 'malformed', '/content'],
    ['an empty text', { ...send, content: '' }, 'out-of-range', '/content'],
    ['too long a text', { ...send, content: 'x'.repeat(CONTENT_MAX + 1) }, 'out-of-range', '/content'],
    ['half a character', { ...send, content: 'a\ud800b' }, 'malformed', '/content'],
    ['an id of no user', { ...send, otherUserId: 'bob' }, 'out-of-range', '/otherUserId'],
    ['an id of no message', { ...send, messageId: 'x' }, 'out-of-range', '/messageId'],
    ['a reply to no message', { ...send, replyTo: 7 }, 'malformed', '/replyTo'],
    ['too many mentions', { ...send, mentions: Array(101).fill(NOBODY) }, 'out-of-range', '/mentions'],
    ['a mark below zero', { type: 'open', conversationId: NOBODY, seq: -1 }, 'out-of-range', '/seq'],
    ['half a mark', { type: 'open', conversationId: NOBODY, seq: 0.5 }, 'malformed', '/seq'],
    ['too long a place', { type: 'resume', after: 'x'.repeat(129) }, 'out-of-range', '/after'],
  ])('%s is refused in its ack, with the path of the field', async (_name, frame, code, path) => {
    await expectNoHarm(async () => {
      const { ok, problem } = await live.request(frame);
      expect(ok).toBe(false);
      expect([problem.code, problem.errors.map((error: { path: string }) => error.path)]).toStrictEqual([code, [path]]);
    });
  });

  it.each([[5], [null], [['x']], [{ a: 1 }]])('an id that is no text (%j) cannot be answered by it', async (id) => {
    await expectNoHarm(async () => {
      live.send({ type: 'ping', id });
      expect(await live.frame(({ type }) => type === 'error')).toMatchObject({ problem: { code: 'malformed' } });
    });
  });

  it('too long an id comes back cut', async () => {
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

  it('of more than 128 KiB ends the connection with 1009, and no other', async () => {
    const other = await goLive(server, ann);
    live.send({ type: 'ping', id: 'x'.repeat(128 * 1024) });
    expect(await live.closed).toMatchObject({ code: 1009 });
    expect(await other.request({ type: 'ping' })).toMatchObject({ ok: true });
  });

  it('that is no UTF-8 ends the connection with 1007', async () => {
    await live.close();
    live = await open(server);
    live.sendRaw(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28]));
    expect(await live.closed).toMatchObject({ code: 1007 });
    live = await goLive(server, ann);
  });
});

it('very many frames at once are all answered, in order', async () => {
  const server = await startServer();
  const live = await goLive(server, await signUp(server, 'ann'));
  const ids = Array.from({ length: 1_000 }, (_, n) => `n${n}`);
  for (const id of ids) live.send({ type: 'ping', id });
  await live.until(() => live.frames.some(({ id }) => id === 'n999'));
  expect(live.frames.slice(-1_000).map(({ id, ok }) => (ok ? id : null))).toStrictEqual(ids);
  await closeAll(server);
  await server.close();
});

describe('limits', () => {
  const { burst, perMinute } = defaultRates.frame;
  const refused = { ok: false, problem: { code: 'too-many-requests', status: 429 }, retryAfter: expect.any(Number) };

  it('of frames are per user, and told with when to try again', async () => {
    const clock = manualClock(Date.now());
    const server = await startServer({ clock, config: { rateLimits: {} } });
    const [ann, bob] = [await signUp(server, 'ann'), await signUp(server, 'bob')];
    const [first, second, other] = [await goLive(server, ann), await goLive(server, ann), await goLive(server, bob)];
    // Each of them has said `ping` already.
    for (let n = 2; n < burst; n++) expect(await first.request({ type: 'ping' })).toMatchObject({ ok: true });
    expect(await first.request({ type: 'ping' })).toMatchObject(refused);
    expect(await second.request({ type: 'send', otherUserId: bob.userId, content: 'hello' })).toMatchObject(refused);
    expect(await other.request({ type: 'ping' })).toMatchObject({ ok: true });
    await clock.advance(60_000 / perMinute);
    expect(await second.request({ type: 'ping' })).toMatchObject({ ok: true });
    await closeAll(server);
    await server.close();
  });

  it('of messages are those of HTTP, and other frames go on', async () => {
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

  it('whoever goes on and on behind them is sent away', async () => {
    const clock = manualClock(Date.now());
    const server = await startServer({ clock, config: { rateLimits: { frame: { burst: 2, perMinute: 1 } } } });
    const live = await goLive(server, await signUp(server, 'ann'));
    for (let n = 0; n < 1_100; n++) live.send({ type: 'ping', id: 'x' });
    expect(await live.closed).toMatchObject({ code: 4429 });
    await server.close();
  });

  it('of bad tokens are per network: who sent too many does not even get a connection', async () => {
    const clock = manualClock(Date.now());
    const server = await startServer({ clock, config: { rateLimits: { badToken: { burst: 2, perMinute: 1 } } } });
    for (let n = 0; n < 2; n++) {
      const live = await open(server);
      await live.request({ type: 'auth', token: 'nonsense' });
      await live.closed;
    }
    await expect(open(server)).rejects.toMatchObject({ status: 429 });
    await clock.advance(60_000);
    await (await open(server)).close();
    await server.close();
  });
});

import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AUTH_MS, RESUME_MS } from '../../src/http/live/connection.ts';
import { ACCESS_TOKEN_S } from '../../src/identity/access-tokens.ts';
import { group, type Person, PUBLIC_URL, type Server, signUp, startServer } from '../support/http.ts';
import { addressOf, closeAll, goLive, type Live, open } from '../support/live.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';

const FOREIGN = 'https://evil.example';
const FRIENDLY = 'https://app.example';
const STEP_MS = 1_000;

let clock: ManualClock;
let server: Server;
let ann: Person;
let bob: Person;

beforeAll(async () => {
  clock = manualClock(Date.now());
  server = await startServer({ clock, config: { socketsPerUser: 2, allowedOrigins: [FRIENDLY] } });
  [ann, bob] = [await signUp(server, 'ann'), await signUp(server, 'bob')];
});
afterEach(() => closeAll(server));
afterAll(() => server.close());

const auth = ({ accessToken }: Pick<Person, 'accessToken'>) => ({ type: 'auth', token: accessToken });

/** The same person with the token of another session. */
async function anotherToken({ refreshToken: _, ...person }: Person): Promise<Person> {
  const payload = { email: person.email, password: 'correct horse battery' };
  const { json } = await server.ask(null, { method: 'POST', url: '/api/v1/sessions', payload });
  return { ...person, accessToken: json.accessToken, refreshToken: json.refreshToken };
}

/** Lets a long time pass in steps, so that the node can renew its leases meanwhile. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= STEP_MS) await clock.advance(Math.min(left, STEP_MS));
}

const isUnauthenticated = async (live: Live): Promise<void> => {
  expect(await live.closed).toStrictEqual({ code: 4401, reason: expect.any(String) });
  expect(server.hub.stats().connections).toBe(0);
};

describe('authentication is required', () => {
  it.each([
    ['another frame', { type: 'ping' }],
    ['a message', { type: 'send', otherUserId: 'f'.repeat(24), content: 'hello' }],
    ['an invalid token', { type: 'auth', token: 'nonsense' }],
    ['an unsigned token', { type: 'auth', token: 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.' }],
  ])('%s is rejected and closes the connection with 4401', async (_name, frame) => {
    const live = await open(server);
    expect(await live.request(frame)).toMatchObject({ ok: false, problem: { code: 'unauthenticated', status: 401 } });
    await isUnauthenticated(live);
  });

  it('within five seconds', async () => {
    const live = await open(server);
    await live.settled();
    await clock.advance(AUTH_MS - 1);
    await live.settled();
    await clock.advance(1);
    await isUnauthenticated(live);
    expect(live.frames).toStrictEqual([]);
  });

  it('and a token that could not be verified by then does not count as invalid', async () => {
    const { connect } = server.hub;
    // As when the read model of memberships is lagging.
    server.hub.connect = () => new Promise(() => {});
    const live = await open(server);
    live.send(auth(ann));
    await live.settled();
    await clock.advance(AUTH_MS);
    expect(await live.closed).toMatchObject({ code: 1013 });
    server.hub.connect = connect;
  });

  it.each([
    ['broken JSON', '{'],
    ['a list', '[]'],
    ['an empty message', ''],
    ['a binary message', Buffer.from('{"type":"auth","token":"x"}')],
    ['an unknown type', '{"type":"shout"}'],
    ['no token', '{"type":"auth"}'],
    ['too long a token', JSON.stringify({ type: 'auth', token: 'x'.repeat(8_193) })],
  ])('and a malformed frame (%s) closes the connection with 4400', async (_name, frame) => {
    const live = await open(server);
    live.send(frame);
    expect(await live.closed).toStrictEqual({ code: 4400, reason: 'malformed frame before authentication' });
    expect(live.frames).toMatchObject([{ type: 'error', problem: { instance: '/api/v1/live' } }]);
  });

  it('and a token in the query string is ignored', async () => {
    const live = await open(server, { path: `/api/v1/live?token=${ann.accessToken}&access_token=${ann.accessToken}` });
    await live.request({ type: 'ping' });
    await isUnauthenticated(live);
  });
});

describe('a token as subprotocol', () => {
  it('authenticates; a protocol besides it is the one that is chosen', async () => {
    for (const [protocols, chosen] of [
      [[`bearer.${ann.accessToken}`], `bearer.${ann.accessToken}`],
      [[`bearer.${ann.accessToken}`, 'parley'], 'parley'],
    ] as const) {
      const live = await open(server, { protocols });
      expect(live.protocol).toBe(chosen);
      expect(await live.request({ type: 'ping' })).toStrictEqual({ type: 'ack', id: 'c1', ok: true });
      await live.close();
    }
  });

  it('that is invalid closes the connection', async () => {
    const live = await open(server, { protocols: ['bearer.nonsense'] });
    await isUnauthenticated(live);
    expect(live.frames).toMatchObject([{ type: 'error', problem: { code: 'unauthenticated' } }]);
  });

  it('allows the client to resume', async () => {
    const first = await open(server);
    const { after } = await first.request(auth(ann));
    await first.close();
    const live = await open(server, { protocols: [`bearer.${ann.accessToken}`] });
    expect(await live.request({ type: 'resume', after })).toMatchObject({ ok: true, outcome: 'resumed' });
  });
});

describe('the origin of a connection', () => {
  it.each([undefined, PUBLIC_URL, FRIENDLY])('may be %s', async (origin) => {
    const live = await open(server, origin === undefined ? {} : { origin });
    expect(await live.request(auth(ann))).toMatchObject({ ok: true });
  });

  it.each([FOREIGN, 'null', `${PUBLIC_URL}:81`, `${PUBLIC_URL}.evil.example`])('may not be %s', async (origin) => {
    await expect(open(server, { origin })).rejects.toMatchObject({ status: 403 });
  });

  it('is not checked without an upgrade, whose absence is malformed', async () => {
    const { port } = await addressOf(server);
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/live`);
    expect(answer.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
    expect(await answer.json()).toMatchObject({ status: 400, code: 'malformed' });
  });
});

describe('a connection lasts as long as its token', () => {
  it('and no longer', async () => {
    const live = await goLive(server, await anotherToken(ann));
    await pass(ACCESS_TOKEN_S * 1_000);
    await isUnauthenticated(live);
  });

  it('or as long as the token that renewed it', async () => {
    ann = await anotherToken(ann);
    const live = await goLive(server, ann);
    await pass(ACCESS_TOKEN_S * 500);
    const renewed = await anotherToken(ann);
    expect(await live.request(auth(renewed))).toStrictEqual({ type: 'ack', id: 'c3', ok: true });
    await pass(ACCESS_TOKEN_S * 500);
    expect(await live.request({ type: 'ping' })).toMatchObject({ ok: true });
    await pass(ACCESS_TOKEN_S * 500);
    await isUnauthenticated(live);
    [ann, bob] = [await anotherToken(ann), await anotherToken(bob)];
  });

  it('which must be a token of the same user', async () => {
    const live = await goLive(server, ann);
    expect(await live.request(auth(bob))).toMatchObject({ ok: false, problem: { code: 'forbidden', status: 403 } });
    expect(await live.request({ type: 'send', otherUserId: bob.userId, content: 'it is ann' })).toMatchObject({
      ok: true,
    });
    const { payload } = await live.message('it is ann');
    expect(payload.message.senderId).toBe(ann.userId);
  });
});

/** Ends the session as another node would: this one learns of it only from the log. */
async function endElsewhere({ userId, accessToken }: Person): Promise<void> {
  const { sessionId } = await server.identity.authenticate(accessToken, 'command');
  const stream = `sessions-${userId}`;
  const { events } = await server.log.readStream(stream, { direction: 'backwards', limit: 1 });
  const data = { userId, sessionId, reason: 'signed-out', endedAt: new Date(clock.now()).toISOString() };
  const metadata = { actor: userId, correlationId: 'test', causationId: null, commandId: randomUUID() };
  const event = { id: randomUUID(), type: 'SessionEnded', data, metadata };
  await server.log.append(stream, [event], { expect: events[0]?.revision ?? 'none' });
}

describe('the end of a session', () => {
  const signOut = (person: Person) => server.ask(person, { method: 'DELETE', url: '/api/v1/sessions/current' });

  it('closes its connections with 4401, and no others', async () => {
    const [first, second] = [await anotherToken(ann), await anotherToken(ann)];
    const [ofFirst, ofSecond] = [await goLive(server, first), await goLive(server, second)];
    expect((await signOut(first)).status).toBe(202);
    expect(await ofFirst.closed).toStrictEqual({ code: 4401, reason: 'the session has ended' });
    expect(await ofSecond.request({ type: 'ping' })).toMatchObject({ ok: true });
  });

  it('on another node closes its connections here, and its token is rejected', async () => {
    const person = await signUp(server, 'eve');
    const live = await goLive(server, person);
    await endElsewhere(person);
    expect(await live.closed).toMatchObject({ code: 4401 });
    // The clock stands still, so that the cached state of the session is still valid.
    expect(await server.identity.authenticate(person.accessToken, 'command')).toMatchObject({ userId: person.userId });
    const late = await open(server);
    expect(await late.request(auth(person))).toMatchObject({ problem: { code: 'unauthenticated' } });
    await isUnauthenticated(late);
  });

  it('concerns the session of the latest token', async () => {
    const [first, second] = [await anotherToken(ann), await anotherToken(ann)];
    const live = await goLive(server, first);
    await live.request(auth(second));
    expect((await signOut(first)).status).toBe(202);
    expect(await live.request({ type: 'ping' })).toMatchObject({ ok: true });
    expect((await signOut(second)).status).toBe(202);
    expect(await live.closed).toMatchObject({ code: 4401 });
  });
});

it('the number of connections of a user is limited: one more is rejected and closed with 4429', async () => {
  const lives = [await goLive(server, ann), await goLive(server, ann)];
  const surplus = await open(server);
  expect(await surplus.request(auth(ann))).toMatchObject({
    ok: false,
    problem: { code: 'too-many-requests', status: 429 },
    retryAfter: 60,
  });
  expect(await surplus.closed).toMatchObject({ code: 4429 });
  await lives[0]?.close();
  await goLive(server, ann);
});

it('delivery starts a quarter of a second after auth when the client sends nothing', async () => {
  const bobs = await open(server);
  await bobs.request(auth(bob));
  const conversationId = await group(server, ann, bob);
  const [anns] = [await goLive(server, ann)];
  await anns.request({ type: 'send', conversationId, content: 'hello' });
  await anns.message('hello');
  await clock.advance(RESUME_MS - 1);
  await bobs.settled();
  expect(bobs.frames).toHaveLength(1);
  await clock.advance(1);
  await bobs.message('hello');
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EventLog } from '../../src/log/event-log.ts';
import { newUuid } from '../commands/node.ts';
import { type Answer, PASSWORD, type Server, signUp, startServer } from '../support/http.ts';
import { manualClock } from '../support/manual-clock.ts';

/** What an address may be used for. `spent`: as many mails were sent to it as may be. Only its mails may show any of it. */
const kinds = ['free', 'pending', 'expired', 'active', 'erased', 'pending, spent', 'active, spent'] as const;
type Kind = (typeof kinds)[number];

const DAY = 24 * 60 * 60_000;
const MAILS = { perHour: 3, perDay: 3 };
const clock = manualClock();

let server: Server;
let count = 0;
let free: readonly object[] | undefined;
const newName = (): string => `name${++count}`;

beforeAll(async () => {
  server = await startServer({ clock, limits: { signInFailures: 1_000, mails: MAILS } });
});
afterAll(() => server.close());

const post = (url: string, payload: object, key?: string): Promise<Answer> =>
  server.ask(null, { method: 'POST', url, payload, headers: key === undefined ? {} : { 'idempotency-key': key } });
const register = (email: string, username = newName()): Promise<Answer> => post('/api/v1/users', { email, username });

/** A new address of this kind. */
async function addressOf(kind: Kind): Promise<string> {
  const name = newName();
  const email = `${name}@example.org`;
  if (/pending|expired/.test(kind)) await register(email, name);
  if (/active|erased/.test(kind)) {
    const { userId } = await signUp(server, name);
    if (kind === 'erased') await erase(userId);
  }
  if (kind === 'expired') await clock.advance(DAY);
  if (kind.endsWith('spent')) for (let i = 1; i < MAILS.perDay; i++) await register(email);
  // Reservations are extended only by a later time.
  await clock.advance(1);
  return email;
}

async function erase(userId: string): Promise<void> {
  await server.personalKeys.destroy(userId);
  const id = newUuid();
  const metadata = { actor: userId, correlationId: 'test', causationId: null, commandId: id };
  const data = { userId, erasedAt: new Date(clock.now()).toISOString() };
  await server.log.append(`user-${userId}`, [{ id, type: 'UserErased', data, metadata }], { expect: 'any' });
}

/** Everything that a stranger sees of a request, without its ids, and by how many events the log grew, which somebody signed in can observe. */
async function seen(send: () => Promise<Answer>): Promise<object> {
  const from = await server.log.head();
  const { status, headers, text, json } = await send();
  const events = await eventsAfter(server.log, from);
  const shape = text.replaceAll(/[0-9a-f]{24}/g, '<id>');
  const { 'x-correlation-id': _, date: __, location = '', ...others } = headers;
  return { status, headers: { ...others, location: location.replace(json?._id, '<id>') }, shape, events };
}

async function eventsAfter(log: EventLog, from: string | null): Promise<number> {
  return (await log.readAll({ direction: 'forwards', from, limit: 100 })).events.length;
}

/** What registrations of an address look like: the first, one with another username, and repetitions, with and without a key. */
async function observe(kind: Kind): Promise<readonly object[]> {
  const email = await addressOf(kind);
  const body = { email, username: newName() };
  const keyed = { email: await addressOf(kind), username: newName() };
  const key = newName();
  const observed: object[] = [];
  const requests: [object, string?][] = [[body], [body], [keyed, key], [keyed, key], [keyed, key], [keyed, newName()]];
  for (const [payload, idempotencyKey] of requests) {
    observed.push(await seen(() => post('/api/v1/users', payload, idempotencyKey)));
    await clock.advance(1);
  }
  for (let i = 0; i < 3; i++) {
    observed.push(await seen(() => register(email)));
    await clock.advance(1);
  }
  return observed;
}

describe('a registration', () => {
  it('of a free address is answered without a position, and grows the log by four events, with a key by two more', async () => {
    expect(await observe('free')).toMatchObject([
      { status: 202, shape: '{"_id":"<id>"}', events: 4 },
      { status: 409, events: 0 },
      { status: 202, shape: '{"_id":"<id>"}', events: 6 },
      { status: 202, shape: '{"_id":"<id>"}', events: 0 },
      { status: 202, shape: '{"_id":"<id>"}', events: 0 },
      { status: 409, events: 0 },
      ...Array.from({ length: 3 }, () => ({ status: 202, shape: '{"_id":"<id>"}', events: 4 })),
    ]);
  });

  it.each(kinds)(
    'of an address that is %s looks the same as one of a free address, first and repeated, with and without a key',
    async (kind) => {
      free ??= await observe('free');
      expect(await observe(kind)).toEqual(free);
    },
  );

  it.each(kinds)(
    'of an address that is %s under a username that is taken looks the same as one of a free address',
    async (kind) => {
      const attempt = async (of: Kind) => {
        const email = await addressOf(of);
        const username = newName();
        await register(`${username}@example.org`, username);
        return [await seen(() => register(email, username)), await seen(() => register(email, username))];
      };
      expect(await attempt(kind)).toEqual(await attempt('free'));
    },
  );

  it.each(kinds)('of an address that is %s reserves its username for a day', async (kind) => {
    const username = newName();
    await register(await addressOf(kind), username);
    await clock.advance(DAY - 2);
    expect((await register(`${newName()}@example.org`, username)).status).toBe(409);
    await clock.advance(2);
    expect((await register(`${newName()}@example.org`, username)).status).toBe(202);
  });
});

describe('a sign-in', () => {
  it.each(kinds)(
    'to an address that is %s with a wrong password looks the same as to a free one, and writes nothing',
    async (kind) => {
      const attempt = async (of: Kind) => {
        const email = await addressOf(of);
        return seen(() => post('/api/v1/sessions', { email, password: `${PASSWORD}!` }));
      };
      const observed = await attempt(kind);
      expect(observed).toMatchObject({ status: 401, events: 0 });
      expect(observed).toEqual(await attempt('free'));
    },
  );
});

describe('a link', () => {
  it.each(['', 'x', 'A'.repeat(80)])('%j that is none looks the same everywhere', async (token) => {
    const payload = { token, password: PASSWORD, confirmPassword: PASSWORD };
    const observed = await seen(() => post('/api/v1/passwords', payload));
    expect(observed).toMatchObject({ status: 403, events: 0 });
    expect(await seen(() => post('/api/v1/passwords', payload, newName()))).toEqual(observed);
  });
});

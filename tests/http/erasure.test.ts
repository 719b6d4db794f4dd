import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FRESH_SIGN_IN_MS } from '../../src/identity/reauthentication.ts';
import { StoreError } from '../../src/kernel/errors.ts';
import {
  type Answer,
  expectProblem,
  group,
  linkToken,
  PASSWORD,
  type Person,
  read,
  type Server,
  signUp,
  startServer,
} from '../support/http.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { RecordingClient } from '../support/recording.ts';

let clock: ManualClock;
let server: Server;
let ann: Person;
let bob: Person;
let cid: Person;

beforeEach(async () => {
  clock = manualClock();
  const limits = { signInFailures: 2, mails: { perHour: 100, perDay: 100 } };
  server = await startServer({ clock, limits });
  [ann, bob, cid] = [await signUp(server, 'ann'), await signUp(server, 'bob'), await signUp(server, 'cid')];
});
afterEach(async () => {
  let isClosed = false;
  const closing = server.close().finally(() => {
    isClosed = true;
  });
  // What is in progress may wait for a time.
  while (!isClosed) {
    await clock.advance(1_000);
    await turn();
  }
  await closing;
});

const erase = (person: Person, payload: object = { currentPassword: PASSWORD }): Promise<Answer> =>
  server.ask(person, { method: 'DELETE', url: '/api/v1/users/me', payload });

const detail = async (person: Person, id: string): Promise<Answer> =>
  server.ask(person, { method: 'GET', url: `/api/v1/conversations/${id}` });

const typesOf = async (stream: string): Promise<readonly string[]> =>
  (await server.log.readStream(stream)).events.map(({ type }) => type);

/** Waits until a condition holds, which other turns of the event loop bring about; the clock stands still meanwhile. */
async function until(check: () => Promise<void>): Promise<void> {
  await vi.waitFor(async () => {
    await turn();
    await check();
  }, 10_000);
}

describe('DELETE /api/v1/users/me', () => {
  it('requires the current password, or a sign-in of the last ten minutes', async () => {
    expect((await erase(bob, {})).status).toBe(202);
    await clock.advance(FRESH_SIGN_IN_MS - 1);
    const { refreshToken } = cid;
    const refreshed = await server.ask(null, {
      method: 'POST',
      url: '/api/v1/sessions/refresh',
      payload: { refreshToken },
    });
    const later = { ...cid, accessToken: refreshed.json.accessToken };
    await clock.advance(1);
    expectProblem(await erase(later, {}), 403, 'forbidden', ['/currentPassword']);
    expectProblem(await erase(later, { currentPassword: 'wrong password' }), 403, 'forbidden', ['/currentPassword']);
    expect(await typesOf(`user-${cid.userId}`)).not.toContain('ErasureRequested');
    const erased = await erase(later);
    expect([erased.status, erased.json._id]).toEqual([202, cid.userId]);
    expect(await typesOf(`user-${cid.userId}`)).toEqual(expect.arrayContaining(['ErasureRequested', 'UserErased']));
  });

  it('does not accept a wrong password from a fresh session either, and slows down guesses', async () => {
    for (let n = 0; n < 2; n++)
      expectProblem(await erase(ann, { currentPassword: `wrong ${n}` }), 403, 'forbidden', ['/currentPassword']);
    const limited = await erase(ann);
    expectProblem(limited, 429, 'too-many-requests');
    expect(Number(limited.headers['retry-after'])).toBeGreaterThan(0);
    await clock.advance(1_000);
    expect((await erase(ann)).status).toBe(202);
  });

  it('is refused without a session, and takes no body of another shape', async () => {
    const url = '/api/v1/users/me';
    expectProblem(await server.ask(null, { method: 'DELETE', url }), 401, 'unauthenticated');
    expectProblem(await erase(ann, { password: PASSWORD }), 400, 'malformed', ['/password']);
  });

  it('ends sessions and sockets at once', async () => {
    const client = new RecordingClient(ann.userId);
    await server.hub.connect(client);
    await erase(ann);
    expectProblem(await server.ask(ann, { method: 'GET', url: '/api/v1/users/me' }), 401, 'unauthenticated');
    const { refreshToken } = ann;
    const payload = { refreshToken };
    expectProblem(
      await server.ask(null, { method: 'POST', url: '/api/v1/sessions/refresh', payload }),
      401,
      'unauthenticated',
    );
    const credentials = { email: ann.email, password: PASSWORD };
    expectProblem(
      await server.ask(null, { method: 'POST', url: '/api/v1/sessions', payload: credentials }),
      401,
      'unauthenticated',
    );
    await until(async () => expect(client.ended).toBe('session-ended'));
  });

  it('frees the username and the address: another person can have both', async () => {
    const { json } = await erase(ann);
    expect((await read(server, bob, `/api/v1/users?search=ann`)).json.items).toEqual([]);
    const other = await signUp(server, 'ann', { firstname: 'Another' });
    expect(other.userId).not.toBe(ann.userId);
    const found = await read(server, bob, '/api/v1/users?search=ann');
    expect(found.json.items).toMatchObject([{ _id: other.userId, firstname: 'Another' }]);
    expect((await read(server, bob, `/api/v1/users/${ann.userId}`)).status).toBe(404);
    expect(json.position).toBeDefined();
  });

  it('hands groups over to the member who joined first, removes the person from the others, and deletes those without members', async () => {
    const owned = await group(server, ann, cid, bob);
    const joined = await group(server, bob, ann);
    const alone = await group(server, ann);
    const direct = await server.ask(ann, {
      method: 'POST',
      url: `/api/v1/chat/convo/one-to-one/message?otherUserId=${bob.userId}`,
      payload: { content: 'to bob' },
    });
    const bobs = new RecordingClient(bob.userId);
    await server.hub.connect(bobs);
    await server.hub.release(bobs, null, () => {});
    await erase(ann);
    await until(async () => expect(await typesOf(`conversation-${alone}`)).toContain('ConversationDeleted'));
    await until(async () => expect(await typesOf(`conversation-${joined}`)).toContain('MemberRemoved'));
    await until(async () => expect((await detail(bob, owned)).json.memberCount).toBe(2));
    await until(async () => expect((await detail(bob, joined)).json.memberCount).toBe(1));
    expect((await detail(cid, owned)).json).toMatchObject({ ownerId: cid.userId });
    expect((await detail(bob, joined)).json).toMatchObject({ ownerId: bob.userId });
    await until(async () => expect(bobs.text).toContain(`"conversation":{"_id":"${owned}","ownerId":"${cid.userId}"}`));

    // The other one keeps a 1-1 conversation, without the text of the erased person.
    const messages = await read(server, bob, `/api/v1/chat/convo/one-to-one/message?otherUserId=${ann.userId}`);
    expect(messages.json.items).toMatchObject([{ _id: direct.json._id, senderId: ann.userId, content: null }]);
    const deleted = await server.ask(cid, { method: 'DELETE', url: `/api/v1/conversations/${owned}` });
    expect(deleted.status).toBe(202);
  });

  it('looks through the groups again: an addition that was decided on before the erasure was read is taken back', async () => {
    await erase(ann);
    await until(async () => expect(await typesOf(`username-${await usernameOf('ann')}`)).toContain('NameReleased'));
    // As another node appends it that has the account in its cache.
    const late = await group(server, bob, cid);
    const at = new Date(clock.now()).toISOString();
    const data = { conversationId: late, userId: ann.userId, joinedSeq: 0, addedAt: at };
    const metadata = {
      actor: bob.userId,
      correlationId: 'test',
      causationId: null,
      commandId: '0190d1a4-6f2b-7000-8000-00000000000a',
    };
    const event = { id: '0190d1a4-6f2b-7000-8000-00000000000b', type: 'MemberAdded', data, metadata };
    await server.log.append(`conversation-${late}`, [event], { expect: 0n });
    await until(async () => {
      await clock.advance(1_000);
      expect(await typesOf(`conversation-${late}`)).toContain('MemberRemoved');
    });
  });

  it('is accepted once its request is durable, and completed when the store is available again', async () => {
    const owned = await group(server, ann, bob);
    let isAway = false;
    server.events.beforeAppend.hook = async (stream) => {
      if (isAway) throw new StoreError('UNAVAILABLE', 'unavailable, as the test wants it');
      if (stream === `user-${ann.userId}`) isAway = true;
    };
    const erased = await erase(ann);
    expect([erased.status, await server.log.head()]).toEqual([202, erased.json.position]);
    expect((await typesOf(`user-${ann.userId}`)).at(-1)).toBe('ErasureRequested');
    expectProblem(await server.ask(ann, { method: 'GET', url: '/api/v1/users/me' }), 401, 'unauthenticated');
    expect((await read(server, bob, `/api/v1/users/${ann.userId}`)).status).toBe(404);
    expect((await read(server, bob, '/api/v1/users?search=ann')).json.items).toEqual([]);
    server.events.beforeAppend.hook = async () => {};
    await until(async () => {
      await clock.advance(1_000);
      expect(await typesOf(`conversation-${owned}`)).toContain('MemberRemoved');
    });
    expect((await typesOf(`user-${ann.userId}`)).at(-1)).toBe('UserErased');
    expect((await signUp(server, 'ann')).userId).not.toBe(ann.userId);
  });

  it('happens once when it is sent several times at once', async () => {
    const answers = await Promise.all([erase(ann), erase(ann), erase(ann)]);
    for (const { status } of answers) expect([202, 401, 429]).toContain(status);
    expect(answers.map(({ status }) => status)).toContain(202);
    const types = await typesOf(`user-${ann.userId}`);
    expect(types.filter((type) => type === 'ErasureRequested' || type === 'UserErased')).toEqual([
      'ErasureRequested',
      'UserErased',
    ]);
  });
});

/** The id of the stream in which a username is reserved. */
async function usernameOf(username: string): Promise<string> {
  const { createNameIds } = await import('../../src/identity/names.ts');
  const { deriveSecrets } = await import('../../src/identity/secrets.ts');
  const { SERVER_SECRET } = await import('../support/stores.ts');
  return createNameIds(deriveSecrets(SERVER_SECRET).names).username(username);
}

it('an account whose password was not set yet keeps its link', async () => {
  const payload = { email: 'dora@example.org', username: 'dora' };
  const { json } = await server.ask(null, { method: 'POST', url: '/api/v1/users', payload });
  await erase(ann);
  expect(await linkToken(server, json._id)).not.toBe('');
});

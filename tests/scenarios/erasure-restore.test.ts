import { copyFile, cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { group, PASSWORD, type Person, read, type Server, signUp, startServer } from '../support/http.ts';
import { openMemoryStores } from '../support/stores.ts';

const PATIENCE_MS = 20_000;

let base: string;
let data: string;
let backup: string;
let ann: Person;
let bob: Person;
let owned: string;

/** Ann was erased; `backup` is from before that. */
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'parley-erasure-restore-'));
  [data, backup] = [join(base, 'data'), join(base, 'backup')];
  await mkdir(data);
  let server = await startServer({ folder: data });
  [ann, bob] = [await signUp(server, 'ann'), await signUp(server, 'bob')];
  owned = await group(server, ann, bob);
  await server.close();
  await cp(data, backup, { recursive: true });
  server = await startServer({ folder: data });
  const payload = { currentPassword: PASSWORD };
  expect((await server.ask(ann, { method: 'DELETE', url: '/api/v1/users/me', payload })).status).toBe(202);
  await vi.waitFor(
    async () => expect(await lastOf(server, `conversation-${owned}`)).toBe('MemberRemoved'),
    PATIENCE_MS,
  );
  await server.close();
});
afterEach(() => rm(base, { recursive: true }));

async function lastOf(server: Server, stream: string): Promise<string | undefined> {
  const { events } = await server.log.readStream(stream);
  return events.at(-1)?.type;
}

it('keys from before an erasure: the key of the erased person is destroyed again at the start', async () => {
  await copyFile(join(backup, 'keys.db'), join(data, 'keys.db'));
  const stores = await openMemoryStores({ folder: data });
  expect((await stores.personalKeys.stored([ann.userId])).get(ann.userId)).toBe('key');
  await stores.close();
  const server = await startServer({ folder: data });
  try {
    const stored = async () => Object.fromEntries(await server.personalKeys.stored([ann.userId, bob.userId]));
    await vi.waitFor(
      async () => expect(await stored()).toEqual({ [ann.userId]: 'destroyed', [bob.userId]: 'key' }),
      PATIENCE_MS,
    );
    const { events } = await server.log.readStream(`user-${ann.userId}`);
    expect(events.find(({ type }) => type === 'UserRegistered')?.data.username).toBeNull();
  } finally {
    await server.close();
  }
});

it('a log from before an erasure: the person is erased again, the names are free, and the groups handed over', async () => {
  await copyFile(join(backup, 'events.db'), join(data, 'events.db'));
  await rm(join(data, 'documents.db'));
  const server = await startServer({ folder: data });
  try {
    await vi.waitFor(async () => expect(await lastOf(server, `user-${ann.userId}`)).toBe('UserErased'), PATIENCE_MS);
    await vi.waitFor(
      async () => expect(await lastOf(server, `conversation-${owned}`)).toBe('MemberRemoved'),
      PATIENCE_MS,
    );
    const { json } = await read(server, bob, `/api/v1/conversations/${owned}`);
    expect(json).toMatchObject({ ownerId: bob.userId, memberCount: 1 });
    const other = await signUp(server, 'ann');
    expect(other.userId).not.toBe(ann.userId);
    // Others are not affected.
    expect(await lastOf(server, `user-${bob.userId}`)).toBe('PasswordSet');
  } finally {
    await server.close();
  }
});

it('keys from before a registration: a person whose key is lost, and was not destroyed, is not erased', async () => {
  let server = await startServer({ folder: data });
  const [cid, dora] = [await signUp(server, 'cid'), await signUp(server, 'dora')];
  await server.close();
  await copyFile(join(backup, 'keys.db'), join(data, 'keys.db'));
  await rm(join(data, 'documents.db'));
  const stores = await openMemoryStores({ folder: data });
  await stores.personalKeys.destroy(dora.userId);
  await stores.close();
  server = await startServer({ folder: data });
  try {
    // Both are found by the same query, before one of them is erased.
    await vi.waitFor(async () => expect(await lastOf(server, `user-${dora.userId}`)).toBe('UserErased'), PATIENCE_MS);
    const { events } = await server.log.readStream(`user-${cid.userId}`);
    expect(events.map(({ type }) => type)).toEqual(['UserRegistered', 'PasswordLinkIssued', 'PasswordSet']);
    expect(events[0]?.data.username).toBeNull();
  } finally {
    await server.close();
  }
});

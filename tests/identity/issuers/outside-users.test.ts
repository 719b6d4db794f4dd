import { beforeEach, describe, expect, it } from 'vitest';
import type { OutsidePerson } from '../../../src/identity/issuers/claims.ts';
import { OutsideUsers } from '../../../src/identity/issuers/outside-users.ts';
import { createNameIds } from '../../../src/identity/names.ts';
import { deriveSecrets } from '../../../src/identity/secrets.ts';
import { erase } from '../../commands/node.ts';
import { system } from '../../support/stores.ts';
import {
  activated,
  ada,
  eventsOf,
  logged,
  type Node,
  openWorld,
  SECRET,
  signIn,
  startNode,
  type World,
} from '../world.ts';

const secrets = deriveSecrets(SECRET);
const names = createNameIds(secrets.names);

let world: World;
let node: Node;
let users: OutsideUsers;

beforeEach(async () => {
  world = await openWorld();
  node = await startNode(world);
  users = usersOf(node);
  return async () => {
    await node.commands.close();
    await world.close();
  };
});

/** The accounts of outside issuers as a node opens them. */
function usersOf({ commands, books }: Node): OutsideUsers {
  return new OutsideUsers({
    commands,
    books,
    names,
    clock: world.clock,
    random: system.random,
    secret: secrets.subjects,
  });
}

const person: OutsidePerson = {
  issuer: 'https://id.example.org/realms/main',
  subject: 'subject 1',
  email: ada.email,
  username: 'ada',
  firstname: 'Ada',
  lastname: 'Lovelace',
};

const usernameOf = async (userId: string): Promise<unknown> =>
  (await eventsOf(world, `user-${userId}`))[0]?.data.username;
const holderOf = async (username: string): Promise<unknown> =>
  (await eventsOf(world, `username-${names.username(username)}`)).at(-1);

describe('an unknown person', () => {
  it('gets one account, also when two nodes see them at once', async () => {
    const other = await startNode(world);
    const all = [users, usersOf(other)];
    await Promise.all(Array.from({ length: 20 }, (_, i) => all[i % 2]?.open(person)));
    const userId = users.idOf(person);
    expect(await eventsOf(world, `user-${userId}`)).toMatchObject([
      { type: 'UserProvisioned', data: { ...person, userId }, metadata: { actor: userId } },
    ]);
    expect(await holderOf('ada')).toMatchObject({ type: 'NameConfirmed', data: { holder: userId } });
    await other.commands.close();
  });

  it('keeps one username when two nodes see tokens with different ones', async () => {
    const other = await startNode(world);
    await Promise.all([users.open(person), usersOf(other).open({ ...person, username: 'lovelace' })]);
    const [event, ...more] = await eventsOf(world, `user-${users.idOf(person)}`);
    expect(more).toEqual([]);
    const [kept, released] = event?.data.username === 'ada' ? ['ada', 'lovelace'] : ['lovelace', 'ada'];
    expect(await holderOf(kept)).toMatchObject({ type: 'NameConfirmed' });
    // Not confirmed at all, when the other node was that early.
    const last = (await holderOf(released)) ?? { type: 'NameReleased' };
    expect(last).toMatchObject({ type: 'NameReleased' });
    await other.commands.close();
  });

  it('is another one at another issuer, and the id does not disclose the subject', () => {
    const ids = [
      users.idOf(person),
      users.idOf({ ...person, issuer: 'https://id.example.org/realms/other' }),
      users.idOf({ ...person, subject: 'subject 2' }),
      users.idOf({ ...person, issuer: `${person.issuer}x`, subject: person.subject }),
    ];
    expect(new Set(ids).size).toBe(4);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{24}$/);
    const other = new OutsideUsers({
      ...node,
      names,
      clock: world.clock,
      random: system.random,
      secret: secrets.links,
    });
    expect(other.idOf(person)).not.toBe(ids[0]);
    expect(users.idOf({ ...person, email: null, username: 'x' })).toBe(ids[0]);
  });

  it('is not linked to the account that has their address, which remains as it was', async () => {
    const userId = await activated(world, node);
    const before = await eventsOf(world, `address-${names.address(ada.email)}`);
    await users.open(person);
    expect(users.idOf(person)).not.toBe(userId);
    expect(await eventsOf(world, `address-${names.address(ada.email)}`)).toEqual(before);
    expect(await signIn(world, node)).toMatchObject({ user: { _id: userId } });
    expect(await eventsOf(world, `user-${userId}`)).toHaveLength(3);
  });

  it('cannot sign in with a password', async () => {
    await users.open(person);
    await expect(signIn(world, node)).rejects.toMatchObject({ code: 'unauthenticated' });
    await expect(signIn(world, node, { password: '' })).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  it('who was erased gets no account again', async () => {
    await users.open(person);
    const userId = users.idOf(person);
    await erase(world, userId);
    await expect(users.open(person)).rejects.toMatchObject({
      code: 'unauthenticated',
      message: 'this account was erased',
    });
    await expect(users.open(person)).rejects.toMatchObject({ code: 'unauthenticated' });
    expect(await logged(world, 'UserProvisioned')).toHaveLength(1);
  });
});

describe('the username of a new account', () => {
  it.each([
    ['the suggested one', 'ada.l', /^ada\.l$/],
    ['composed', 'e\u0301mile', /^\u00e9mile$/],
    ['generated without a suggestion', null, /^user-[0-9a-f]{12}$/],
    ['generated for an address, of which others must not see a part', 'ada@example.org', /^user-[0-9a-f]{12}$/],
    ['generated for one with other characters', 'ada lovelace', /^user-[0-9a-f]{12}$/],
    ['completed when it is too short', 'ad', /^ad-[0-9a-f]{6}$/],
    ['shortened when it is too long', 'a'.repeat(40), /^a{24}-[0-9a-f]{6}$/],
  ])('is %s', async (_name, username, expected) => {
    await users.open({ ...person, username });
    expect(await usernameOf(users.idOf(person))).toMatch(expected);
  });

  it('has a suffix when another user has it', async () => {
    await activated(world, node, { username: 'ADA' });
    await users.open(person);
    const userId = users.idOf(person);
    expect(await usernameOf(userId)).toBe(`ada-${userId.slice(0, 6)}`);
    expect(await holderOf(`ada-${userId.slice(0, 6)}`)).toMatchObject({ data: { holder: userId } });
  });

  it('names that cannot be shown are left out', async () => {
    await users.open({ ...person, firstname: '\u0000x', lastname: '\u202Ex' });
    const [event] = await eventsOf(world, `user-${users.idOf(person)}`);
    expect(event?.data).toMatchObject({ firstname: null, lastname: null });
  });
});

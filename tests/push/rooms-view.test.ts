import { afterAll, beforeAll, expect, it } from 'vitest';
import { silentLogger } from '../../src/kernel/logger.ts';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { createProjections } from '../../src/projections/runner/projections.ts';
import { createRoomsView } from '../../src/projections/views/rooms.ts';
import { ask, group, newId } from '../commands/node.ts';
import { manualClock } from '../support/manual-clock.ts';
import { startWorld, type World } from './world.ts';

let world: World;

beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.close());

const byId = (rooms: readonly { conversationId: string; since: string }[]): Record<string, string> =>
  Object.fromEntries(rooms.map(({ conversationId, since }) => [conversationId, since]));

/** Position of the event of this type in a conversation's stream that is about the user, or of the last of it. */
async function positionOf(conversationId: string, type: string): Promise<string> {
  const { events } = await world.shared.log.readStream(`conversation-${conversationId}`);
  return events.findLast((event) => event.type === type)?.position ?? '';
}

it('gives the conversations of a user as of a position, with those at which they joined', async () => {
  const [ann, bob] = [newId(), newId()];
  const [made, joined, left] = [
    await group(world.node, ann, bob),
    await group(world.node, ann),
    await group(world.node, ann, bob),
  ];
  await ask(world.node, ann, { type: 'AddMember', data: { conversationId: joined, userId: bob } });
  const before = await world.shared.log.head();
  await ask(world.node, ann, { type: 'RemoveMember', data: { conversationId: left, userId: bob } });
  const expected = {
    [made]: await positionOf(made, 'ConversationCreated'),
    [joined]: await positionOf(joined, 'MemberAdded'),
  };
  expect(byId(await world.memberships(bob, await world.shared.log.head()))).toStrictEqual(expected);
  // Of an earlier position it may show what has come since, and never less.
  expect(byId(await world.memberships(bob, before))).toMatchObject(expected);
  expect(await world.memberships(newId(), null)).toStrictEqual([]);
});

it('gives all of them, however many they are', async () => {
  const [ann, bob] = [newId(), newId()];
  const ids = await Promise.all(Array.from({ length: 1_050 }, () => group(world.node, ann, bob)));
  const rooms = await world.memberships(bob, await world.shared.log.head());
  expect(rooms.map(({ conversationId }) => conversationId).sort()).toStrictEqual(ids.sort());
});

it('is unavailable when the read model does not get there within five seconds', async () => {
  const clock = manualClock();
  const { log: events, documents } = world.shared;
  const options = {
    events,
    documents,
    clock,
    logger: silentLogger,
    projections: catalogue,
    owner: 'reader',
    run: false,
  };
  const projections = createProjections(options);
  let outcome = 'pending';
  const asked = createRoomsView(projections.readModels)
    .ofUser(newId(), '~')
    .catch((error) => {
      outcome = error.code;
    });
  await clock.advance(4_999);
  expect(outcome).toBe('pending');
  await clock.advance(1);
  await asked;
  expect(outcome).toBe('UNAVAILABLE');
  await projections.close();
});

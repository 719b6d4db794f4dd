import { afterAll, beforeAll, expect, it } from 'vitest';
import { projections as catalogue } from '../../src/projections/models/catalogue.ts';
import { createProjections } from '../../src/projections/runner/projections.ts';
import { createRoomsView } from '../../src/projections/views/rooms.ts';
import { execute, group, newId } from '../commands/node.ts';
import { until } from '../projections/node.ts';
import { manualClock } from '../support/manual-clock.ts';
import { openMemoryStores, system } from '../support/stores.ts';
import { startWorld, type World } from './world.ts';

let world: World;

beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.close());

const byId = (rooms: readonly { conversationId: string; since: string }[]): Record<string, string> =>
  Object.fromEntries(rooms.map(({ conversationId, since }) => [conversationId, since]));

/** Position of the last event of this type in a conversation's stream. */
async function positionOf(conversationId: string, type: string): Promise<string> {
  const { events } = await world.stores.log.readStream(`conversation-${conversationId}`);
  return events.findLast((event) => event.type === type)?.position ?? '';
}

it('returns the conversations of a user at a position, each with the position at which the user joined', async () => {
  const [ann, bob] = [newId(), newId()];
  const [made, joined, left] = [
    await group(world.node, ann, bob),
    await group(world.node, ann),
    await group(world.node, ann, bob),
  ];
  await execute(world.node, ann, { type: 'AddMember', data: { conversationId: joined, userId: bob } });
  const before = await world.stores.log.head();
  await execute(world.node, ann, { type: 'RemoveMember', data: { conversationId: left, userId: bob } });
  const expected = {
    [made]: await positionOf(made, 'ConversationCreated'),
    [joined]: await positionOf(joined, 'MemberAdded'),
  };
  expect(byId(await world.memberships(bob, await world.stores.log.head()))).toStrictEqual(expected);
  // For an earlier position it may include later changes, and never lacks earlier ones.
  expect(byId(await world.memberships(bob, before))).toMatchObject(expected);
  expect(await world.memberships(newId(), null)).toStrictEqual([]);
});

it('returns all conversations of a user with many', async () => {
  const [ann, bob] = [newId(), newId()];
  const ids = await Promise.all(Array.from({ length: 1_050 }, () => group(world.node, ann, bob)));
  const rooms = await world.memberships(bob, await world.stores.log.head());
  expect(rooms.map(({ conversationId }) => conversationId).sort()).toStrictEqual(ids.sort());
});

it('throws UNAVAILABLE when the read model does not reach the position within five seconds', async () => {
  const clock = manualClock();
  const { log, documents } = world.stores;
  const options = { ...system, clock, log, documents, projections: catalogue, node: 'reader', run: false };
  const projections = createProjections(options);
  let outcome = 'pending';
  const loading = createRoomsView(projections.readModels)
    .ofUser(newId(), '~')
    .catch((error) => {
      outcome = error.code;
    });
  await until(() => clock.sleeping() > 0, 'it waits');
  await clock.advance(4_999);
  expect(outcome).toBe('pending');
  await clock.advance(1);
  await loading;
  expect(outcome).toBe('UNAVAILABLE');
  await projections.close();
});

it('refuses at once when the read model is not built yet', async () => {
  const stores = await openMemoryStores();
  const { log, documents } = stores;
  const options = { ...system, log, documents, projections: catalogue, node: 'reader', run: false };
  const projections = createProjections(options);
  const refusal = { name: 'Refusal', code: 'not-yet-visible' };
  await expect(createRoomsView(projections.readModels).ofUser(newId(), '~')).rejects.toMatchObject(refusal);
  await expect(createRoomsView(projections.readModels).ofUser(newId(), null)).rejects.toMatchObject(refusal);
  await projections.close();
  await stores.close();
});

import { afterEach, beforeEach, expect, it } from 'vitest';
import { conversation } from '../../src/aggregates/conversation/decider.ts';
import { AggregateCache, type LoadedState } from '../../src/commands/aggregate-cache.ts';
import { createSnapshots } from '../../src/commands/snapshots.ts';
import { fold } from '../../src/kernel/decider.ts';
import { group, sent } from '../aggregates/conversation-fixtures.ts';
import { id, uuid } from '../aggregates/fixtures.ts';
import { type MemoryStores, openMemoryStores, system } from '../support/stores.ts';
import { openLog } from './node.ts';

let stores: MemoryStores;
let cache: AggregateCache;

beforeEach(async () => {
  stores = await openMemoryStores();
  const snapshots = await createSnapshots({ ...system, documents: stores.documents });
  cache = new AggregateCache({ ...system, log: openLog(stores), snapshots });
});

afterEach(async () => {
  await stores.close();
});

/** Keeps states of `streams` conversations with so many messages each, and counts those that are still in memory afterwards. */
async function keptOf(streams: number, messages: number): Promise<number> {
  const history = Array.from({ length: messages }, (_, i) => sent(i + 1, { senderId: id(0x100 + (i % 10)) }));
  const state = fold(conversation, [group, ...history]);
  const loaded: LoadedState<typeof state> = {
    state,
    revision: BigInt(messages),
    position: '1',
    eventId: uuid(1),
    readTo: BigInt(messages),
    // As if it had just been written, so that none is written here.
    snapshot: { revision: BigInt(messages), atMs: system.clock.monotonic() },
    drops: 0,
  };
  for (let n = 0; n < streams; n++) cache.keep(conversation, `conversation-${id(n)}`, loaded);
  let kept = 0;
  for (let n = 0; n < streams; n++) {
    // What is not in memory is read from the log, where it does not exist.
    if ((await cache.load(conversation, `conversation-${id(n)}`)).loaded.revision !== null) kept++;
  }
  return kept;
}

it('1,000 conversations of 1,000 messages fit into the cache twice', async () => {
  expect(await keptOf(2_000, 1_000)).toBe(2_000);
});

it('the memory of the cache is limited', async () => {
  const kept = await keptOf(1_000, 5_500);
  expect(kept).toBeGreaterThanOrEqual(380);
  expect(kept).toBeLessThanOrEqual((64 * 1024 * 1024) / (5_000 * 24));
});

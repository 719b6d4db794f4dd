import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { marks } from '../../src/aggregates/marks/decider.ts';
import { username } from '../../src/aggregates/reservation/decider.ts';
import { sessions } from '../../src/aggregates/sessions/decider.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { type MemoryStores, openMemoryStores } from '../support/stores.ts';
import { type ClosingNode, change, HOUR_MS, leftOf, marksOf, requestOf, startClosingNode } from './closing.ts';
import { erase, message, newId, newUuid, openLog } from './node.ts';

const [ann, bob] = [newId(), newId()];
const stream = `marks-${ann}`;
const PERIOD = Number(marks.books?.every);

let clock: ManualClock;
let stores: MemoryStores;
let node: ClosingNode;

beforeEach(async () => {
  clock = manualClock();
  stores = await openMemoryStores({ clock });
  node = await startClosingNode(stores, clock);
});

afterEach(async () => {
  await node.books.close();
  await node.commands.close();
  await stores.close();
});

/** A group of Bob and Ann. */
async function group(): Promise<string> {
  const conversationId = newId();
  await change(node, clock, bob, { type: 'CreateGroup', data: { conversationId, name: 'team', participants: [ann] } });
  return conversationId;
}

let opens = 0;
/** Ann opens the conversations in turn, so many times, each time a little later. */
async function open(count: number, ...ids: readonly string[]): Promise<void> {
  for (let i = 0; i < count; i++) {
    await node.conversations.open(ids[i % ids.length] ?? '', undefined, requestOf(clock, ann, ++opens));
  }
  await node.books.idle();
}

const first = async (): Promise<bigint | undefined> => (await leftOf(stores, stream))[0]?.revision;
const summaries = async (): Promise<number> =>
  (await leftOf(stores, stream)).filter(({ type }) => type === 'MarksSummarised').length;

describe('closing the books of marks', () => {
  it('removes the events before the summary, but none that is younger than 48 hours', async () => {
    const [one, other] = [await group(), await group()];
    await open(PERIOD, one, other);
    expect(await summaries()).toBe(1);
    expect(await first()).toBe(0n);
    await clock.advance(47 * HOUR_MS);
    await open(PERIOD, other);
    expect(await first()).toBe(0n);
    await clock.advance(2 * HOUR_MS);
    await open(PERIOD, other);
    // The first period and its summary are too old, the second one is not.
    expect(await first()).toBe(BigInt(PERIOD) + 1n);
    expect(await marksOf(stores, ann)).toStrictEqual({ [one]: 0, [other]: 0 });
    expect(node.warnings).toEqual([]);
  });

  it('is done by the next closing when the summary could not be appended', async () => {
    const [one, other] = [await group(), await group()];
    await open(PERIOD - 1, one, other);
    await node.conversations.open(one, undefined, requestOf(clock, ann, ++opens));
    node.log.faults.push('away');
    await node.books.idle();
    expect(node.warnings).toEqual(['the books of a stream were not closed']);
    expect(await summaries()).toBe(0);
    await clock.advance(49 * HOUR_MS);
    await open(PERIOD, one, other);
    expect(await first()).toBe(BigInt(PERIOD));
    expect(await marksOf(stores, ann)).toStrictEqual({ [one]: 0, [other]: 0 });
  });

  it('is done by the next closing when the node ended between the summary and the removal', async () => {
    const [one, other] = [await group(), await group()];
    await open(PERIOD, one, other);
    await clock.advance(49 * HOUR_MS);
    const { setRetention } = node.log;
    node.log.setRetention = () => Promise.reject(new Error('the process has ended'));
    await open(PERIOD, one, other);
    expect([await summaries(), await first()]).toEqual([2, 0n]);
    node.log.setRetention = setRetention;
    await open(PERIOD, one, other);
    expect(await first()).toBe(BigInt(PERIOD) + 1n);
    expect(await marksOf(stores, ann)).toStrictEqual({ [one]: 0, [other]: 0 });
  });

  it('appends one summary when two nodes close at once', async () => {
    const one = await group();
    await open(PERIOD - 2, one);
    const node2 = await startClosingNode(stores, clock);
    const { metadata } = requestOf(clock, ann, ++opens);
    const data = { userId: ann, conversationId: one, seq: 0, memberCount: 2 };
    await node2.commands.handle(marks, ann, { type: 'OpenConversation', data, metadata });
    const further = requestOf(clock, ann, ++opens).metadata;
    const handled = await node2.commands.handle(marks, ann, { type: 'OpenConversation', data, metadata: further });
    expect(handled.revision).toBe(BigInt(PERIOD) - 1n);
    // Both nodes have appended to the stream at the end of a period.
    for (const { books } of [node, node2]) {
      books.consider(handled, {
        aggregate: marks,
        id: ann,
        metadata: further,
        summarise: async ({ metadata }) => ({
          type: 'SummariseMarks' as const,
          data: { userId: ann, left: [] },
          metadata,
        }),
      });
    }
    await Promise.all([node.books.idle(), node2.books.idle()]);
    expect(await summaries()).toBeLessThanOrEqual(2);
    expect(await marksOf(stores, ann)).toStrictEqual({ [one]: 0 });
    expect([...node.warnings, ...node2.warnings]).toEqual([]);
    await node2.commands.close();
  });

  it('drops the marks of conversations that the user has left, was removed from, or that were deleted', async () => {
    const ids = [await group(), await group(), await group(), await group()] as const;
    const [left, removed, deleted, kept] = ids;
    await open(ids.length, ...ids);
    await node.conversations.leave(left, requestOf(clock, ann));
    await change(node, clock, bob, { type: 'RemoveMember', data: { conversationId: removed, userId: ann } });
    await change(node, clock, bob, { type: 'DeleteConversation', data: { conversationId: deleted } });
    await open(PERIOD, kept);
    expect(await marksOf(stores, ann)).toStrictEqual({ [kept]: 0 });
    const [summary] = (await leftOf(stores, stream)).filter(({ type }) => type === 'MarksSummarised');
    expect(summary?.data.dropped).toEqual([left, removed, deleted]);
  });

  it('keeps the mark of a conversation that the user opens again while the summary is made', async () => {
    const [one, other] = [await group(), await group()];
    await open(2, one, other);
    await node.conversations.leave(one, requestOf(clock, ann));
    const node2 = await startClosingNode(stores, clock);
    await open(PERIOD - 3, other);
    await node.conversations.open(other, undefined, requestOf(clock, ann, ++opens));
    let isDone = false;
    node.log.beforeAppend.hook = async (name) => {
      if (isDone || name !== stream) return;
      isDone = true;
      await change(node2, clock, bob, { type: 'AddMember', data: { conversationId: one, userId: ann } });
      await change(node2, clock, bob, message(one));
      await node2.conversations.open(one, undefined, requestOf(clock, ann, ++opens));
    };
    await node.books.idle();
    expect([isDone, node.warnings]).toEqual([true, []]);
    expect(await marksOf(stores, ann)).toStrictEqual({ [one]: 1, [other]: 0 });
    expect(await summaries()).toBe(1);
    await node2.books.close();
    await node2.commands.close();
  });

  it('drops the mark of an earlier membership', async () => {
    const [one, other] = [await group(), await group()];
    await open(2, one, other);
    await node.conversations.leave(one, requestOf(clock, ann));
    await change(node, clock, bob, message(one));
    await change(node, clock, bob, { type: 'AddMember', data: { conversationId: one, userId: ann } });
    await open(PERIOD - 2, other);
    expect(await marksOf(stores, ann)).toStrictEqual({ [other]: 0 });
    // A mark in the new membership is not before the joining, so that it is never taken for an earlier one.
    await node.conversations.open(one, 0, requestOf(clock, ann, ++opens));
    expect(await marksOf(stores, ann)).toStrictEqual({ [one]: 1, [other]: 0 });
  });
});

describe('closing the books of a name', () => {
  /** Reserves and releases the name, so that the last event is a release. */
  async function reserve(times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      const { metadata } = requestOf(clock, ann);
      const data = { kind: 'username' as const, holder: newId(), until: new Date(0).toISOString() };
      for (const [type, commandId] of [
        ['ReserveName', newUuid()],
        ['ReleaseName', newUuid()],
      ] as const) {
        const own = { ...metadata, commandId };
        const handled = await node.commands.handle(username, 'name', { type, data, metadata: own });
        node.books.consider(handled, { aggregate: username, id: 'name', metadata: own });
      }
    }
    await node.books.idle();
  }

  it('keeps its latest events, without a summary', async () => {
    await reserve(32);
    await clock.advance(49 * HOUR_MS);
    await reserve(32);
    const left = await leftOf(stores, 'username-name');
    expect(left.map(({ revision }) => revision)).toEqual(Array.from({ length: 64 }, (_, i) => BigInt(64 + i)));
    expect((await (await startClosingNode(stores, clock)).commands.load(username, 'name', 'cached')).state).toEqual({
      status: 'free',
    });
  });

  it('removes nothing while the latest event is of a later version', async () => {
    await reserve(32);
    await clock.advance(49 * HOUR_MS);
    await reserve(31);
    const metadata = { actor: null, correlationId: 'test', causationId: null, commandId: newUuid() };
    const record = { id: newUuid(), type: 'SomethingOfALaterVersion', schemaVersion: 1, data: '{}', metadata };
    await stores.store.append('username-name', [record, { ...record, id: newUuid() }], { expect: 'exists' });
    const { revision, position } = await node.commands.load(username, 'name', 'fresh');
    expect(revision).toBe(127n);
    const handled = { events: [{ type: 'NameReleased', data: {} }], revision, position };
    node.books.consider(handled, { aggregate: username, id: 'name', metadata: requestOf(clock, ann).metadata });
    await node.books.idle();
    expect(await leftOf(stores, 'username-name')).toHaveLength(128);
  });
});

it('a summary that is made while its person is erased discloses nothing', async () => {
  const { metadata } = requestOf(clock, ann);
  const expiresAt = new Date(clock.now() + HOUR_MS).toISOString();
  const sessionId = newUuid();
  const data = { userId: ann, sessionId, userAgent: 'Browser', expiresAt };
  const handled = await node.commands.handle(sessions, ann, { type: 'StartSession', data, metadata });
  expect((await leftOf(stores, `sessions-${ann}`))[0]?.data.userAgent).toBe('Browser');
  const atEndOfPeriod = { ...handled, revision: 127n };
  node.books.consider(atEndOfPeriod, {
    aggregate: sessions,
    id: ann,
    metadata,
    summarise: async (from) => {
      await erase(stores, ann);
      const userAgents = [{ sessionId, userAgent: 'Browser' }];
      return { type: 'SummariseSessions' as const, data: { userId: ann, userAgents }, metadata: from.metadata };
    },
  });
  await node.books.idle();
  const log = openLog(stores);
  const { events } = await log.readStream(`sessions-${ann}`);
  expect(events[0]).toMatchObject({ type: 'SessionStarted', data: { userAgent: null } });
  expect(JSON.stringify(events.map(({ data }) => data))).not.toContain('Browser');
});

import { expect, it } from 'vitest';
import { marks } from '../../src/aggregates/marks/decider.ts';
import { sessions } from '../../src/aggregates/sessions/decider.ts';
import type { RecordedEvent } from '../../src/kernel/event.ts';
import type { JsonObject } from '../../src/kernel/json.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import { memberships } from '../../src/projections/models/memberships.ts';
import { activated, request, signIn, startNode, type World } from '../identity/world.ts';
import { manualClock } from '../support/manual-clock.ts';
import { openMemoryStores } from '../support/stores.ts';
import { change, DAY_MS, leftOf, marksOf, requestOf, startClosingNode } from './closing.ts';
import { newId } from './node.ts';

const DAYS = 3_650;
/** Days between two rounds of a test. */
const STEP = 7;

/** The bytes of data of the largest append to streams of a category. */
function measured(store: EventStore, category: string): { store: EventStore; largest(): number } {
  let largest = 0;
  const append: EventStore['append'] = (stream, records, options) => {
    if (stream.startsWith(`${category}-`)) {
      largest = Math.max(
        largest,
        records.reduce((sum, { data }) => sum + data.length, 0),
      );
    }
    return store.append(stream, records, options);
  };
  return {
    store: new Proxy(store, { get: (target, name) => (name === 'append' ? append : bound(target, name)) }),
    largest: () => largest,
  };
}

function bound(target: EventStore, name: string | symbol): unknown {
  const member: unknown = Reflect.get(target, name);
  return typeof member === 'function' ? member.bind(target) : member;
}

/** A read model of memberships that follows a log from event to event. */
function follower() {
  const documents = new Map<string, JsonObject>();
  return {
    documents,
    follow(events: readonly RecordedEvent[]): void {
      for (const event of events.filter(({ type }) => memberships.handles.includes(type))) {
        for (const ref of memberships.touches(event)) {
          const body = memberships.evolve(ref, documents.get(ref.id), event);
          if (body === undefined) documents.delete(ref.id);
          else documents.set(ref.id, body);
        }
      }
    },
  };
}

/** The events of the log after a position, and the position of the last one. */
async function after(
  stores: Pick<World, 'log'>,
  from: string | null,
): Promise<{ events: RecordedEvent[]; position: string | null }> {
  const events: RecordedEvent[] = [];
  for (let [position, end] = [from, false]; !end; ) {
    const slice = await stores.log.readAll({ direction: 'forwards', from: position, limit: 4_096 });
    events.push(...slice.events);
    ({ end } = slice);
    position = slice.next;
  }
  return { events, position: events.at(-1)?.position ?? from };
}

it('ten years of marks stay within bounds, and a read model that is rebuilt then is the same as one that followed', async () => {
  const clock = manualClock();
  const stores = await openMemoryStores({ clock });
  const { store, largest } = measured(stores.store, 'marks');
  const node = await startClosingNode({ ...stores, store }, clock);
  const [ann, bob] = [newId(), newId()];
  const live = follower();
  const [joined, left]: [string[], string[]] = [[], []];
  let [position, opens]: [string | null, number] = [null, 0];
  let seed = 1;
  const random = (below: number): number => {
    seed = (seed * 48_271) % 0x7fffffff;
    return seed % below;
  };

  for (let day = 0; day < DAYS; day += STEP) {
    await clock.advance(STEP * DAY_MS);
    // In a week, 25 new conversations, and seven are left.
    const fresh = Array.from({ length: 25 }, newId);
    const data = (conversationId: string) => ({ conversationId, name: 'team', participants: [ann] });
    await Promise.all(fresh.map((id) => change(node, clock, bob, { type: 'CreateGroup', data: data(id) })));
    joined.push(...fresh);
    for (let i = 0; i < 7; i++) {
      const [leaving] = joined.splice(random(joined.length), 1);
      if (leaving === undefined) continue;
      await node.conversations.leave(leaving, requestOf(clock, ann));
      left.push(leaving);
    }
    // Each new one is opened, and some of the others, most of them recent.
    const others = Array.from({ length: 35 }, (_, i) =>
      joined.at(-1 - random(i < 30 ? Math.min(60, joined.length) : joined.length)),
    );
    const opened = [...fresh.filter((id) => joined.includes(id)), ...others.filter((id) => id !== undefined)];
    opens += opened.length;
    await Promise.all(opened.map((id, i) => node.conversations.open(id, undefined, requestOf(clock, ann, i))));
    await node.books.idle();
    const { events, position: reached } = await after(stores, position);
    position = reached;
    live.follow(events);
  }
  expect(node.warnings).toEqual([]);
  expect(joined.length).toBeGreaterThan(8_700);
  expect(opens).toBeGreaterThan(25_000);

  // An append at which a log took at most 1,000,000 bytes.
  expect(largest()).toBeLessThan(64 * 1024);
  const kept = await leftOf(stores, `marks-${ann}`);
  expect(kept.length).toBeLessThan(joined.length + 1_500);
  const known = await marksOf(stores, ann);
  expect(joined.filter((id) => known[id] === undefined)).toEqual([]);
  // A conversation that was left is forgotten when its mark comes to be the oldest, which takes about as many opens as there are marks.
  expect(left.slice(0, 1_000).filter((id) => known[id] !== undefined)).toEqual([]);

  const rebuilt = follower();
  rebuilt.follow((await after(stores, null)).events);
  expect(Object.fromEntries(rebuilt.documents)).toStrictEqual(Object.fromEntries(live.documents));

  // A node that has just started.
  const other = await startClosingNode(stores, clock);
  expect((await other.commands.load(marks, ann, 'cached')).state.marks.size).toBe(Object.keys(known).length);
  expect(other.log.counts.read).toBeLessThanOrEqual(kept.length + 1);
  for (const { books, commands } of [node, other]) {
    await books.close();
    await commands.close();
  }
  await stores.close();
}, 120_000);

it('ten years of sessions stay within bounds', async () => {
  const clock = manualClock();
  const stores = await openMemoryStores({ clock });
  const { store, largest } = measured(stores.store, 'sessions');
  const world: World = { ...stores, store, clock };
  const node = await startNode(world, 'off');
  const userId = await activated(world, node);
  const devices: string[] = [];
  for (let day = 0; day < DAYS; day += STEP) {
    await clock.advance(STEP * DAY_MS);
    // Two devices, which sign in when their sessions end, and refresh their tokens daily in between.
    if (day % 28 === 0) {
      const context = { email: 'ada@example.org' };
      devices.splice(0);
      for (let i = 0; i < 2; i++) devices.push((await signIn(world, node, context)).refreshToken);
    }
    for (const [i, token] of devices.entries()) {
      let refreshed = token;
      for (let n = 0; n < STEP; n++)
        ({ refreshToken: refreshed } = await node.identity.refresh(refreshed, request(world)));
      devices[i] = refreshed;
    }
    await node.books.idle();
  }
  const kept = await leftOf(world, `sessions-${userId}`);
  expect(kept.at(-1)?.revision).toBeGreaterThan(7_000n);
  expect(kept.length).toBeLessThan(2 * Number(sessions.books?.every) + 20);
  expect(largest()).toBeLessThan(8 * 1024);
  // The user agents of the live sessions are still known.
  const summary = kept.findLast(({ type }) => type === 'SessionsSummarised');
  expect(summary?.data.userAgents).toEqual(expect.arrayContaining(['test', 'test']));

  const other = await startNode(world, 'off');
  const before = other.log.counts.read;
  const { state } = await other.commands.load(sessions, userId, 'cached');
  expect(other.log.counts.read - before).toBeLessThanOrEqual(kept.length + 1);
  expect(state.open.length).toBeLessThanOrEqual(4);
  for (const token of devices) await other.identity.refresh(token, request(world));
  for (const { books, commands } of [node, other]) {
    await books.close();
    await commands.close();
  }
  await stores.close();
}, 120_000);

import { afterEach, describe, expect, it, vi } from 'vitest';
import type { EventStore } from '../../src/ports/event-store.ts';
import { newStream, note } from '../contracts/events.ts';
import { follow, readStream, until } from '../contracts/following.ts';
import {
  type EventStoreDbServer,
  type Member,
  startEventStoreDbServer,
} from '../support/eventstoredb-server/server.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { open } from './eventstoredb.ts';

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const resource of opened.splice(0).reverse()) await resource.close();
});

type Three = readonly [EventStoreDbServer, EventStoreDbServer, EventStoreDbServer];

/** Three members. The one at `leader` is the leader, and all of them say so. */
async function startCluster(leader: number): Promise<Three> {
  const first = await startEventStoreDbServer();
  const { log } = first;
  const started: Three = [first, await startEventStoreDbServer({ log }), await startEventStoreDbServer({ log })];
  opened.push(...started.map((server) => ({ close: () => server.close() })));
  const members = started.map(({ port }, n): Member => ({ port, state: n === leader ? 'LEADER' : 'FOLLOWER' }));
  for (const server of started) server.members = members;
  return started;
}

const addressesOf = (servers: readonly EventStoreDbServer[]): string =>
  servers.map(({ port }) => `127.0.0.1:${port}`).join(',');

async function openStore(url: string, clock: ManualClock, appendMs = 5_000): Promise<EventStore> {
  const store = await open(url, { clock, timeouts: { appendMs } });
  opened.push(store);
  return store;
}

/** Checks that the store appends to this member, reads and subscribes. */
async function expectToUse(store: EventStore, leader: EventStoreDbServer): Promise<void> {
  const [stream, before] = [newStream(), leader.appends];
  await store.append(stream, [note('a')], { expect: 'none' });
  expect(leader.appends).toBe(before + 1);
  expect((await readStream(store, stream)).records).toHaveLength(1);
  expect((await follow(store, {}, until(1))).records).not.toEqual([]);
}

/** What the members that remain report after `leader` was lost and `next` was elected. */
function elect(
  next: EventStoreDbServer,
  [...remaining]: readonly EventStoreDbServer[],
  lost: EventStoreDbServer,
): void {
  const members: readonly Member[] = [
    { port: lost.port, state: 'LEADER', isAlive: false },
    ...remaining.map(({ port }): Member => ({ port, state: port === next.port ? 'LEADER' : 'FOLLOWER' })),
  ];
  for (const server of remaining) server.members = members;
}

// The clocks of these tests stand still: what waits for a time limit never ends.
describe.each(['esdb', 'esdb+discover'])('three members in a connection string with %s://', (scheme) => {
  it('of which the first refuses connections', async () => {
    const servers = await startCluster(1);
    await servers[0].stop();
    await expectToUse(await openStore(`${scheme}://${addressesOf(servers)}?tls=false`, manualClock()), servers[1]);
  });

  it('of which the first is silent', async () => {
    const servers = await startCluster(2);
    servers[0].faults.freeze();
    await expectToUse(await openStore(`${scheme}://${addressesOf(servers)}?tls=false`, manualClock()), servers[2]);
  });
});

describe('the leader of a cluster', () => {
  it('is found through one name, and through the members that are known from it afterwards', async () => {
    const servers = await startCluster(0);
    const store = await openStore(`esdb+discover://localhost:${servers[0].port}?tls=false`, manualClock());
    await expectToUse(store, servers[0]);
    await servers[0].stop();
    elect(servers[1], servers.slice(1), servers[0]);
    await vi.waitFor(() => expectToUse(store, servers[1]), { timeout: 10_000, interval: 20 });
  });

  it('is the one that most members report, not one that was replaced while it was suspended', async () => {
    const servers = await startCluster(0);
    elect(servers[2], servers.slice(1), servers[0]);
    await expectToUse(await openStore(`esdb://${addressesOf(servers)}?tls=false`, manualClock()), servers[2]);
  });

  it('is searched for again while there is none', async () => {
    const servers = await startCluster(0);
    for (const server of servers) server.members = servers.map(({ port }): Member => ({ port, state: 'UNKNOWN' }));
    const settings = 'tls=false&maxDiscoverAttempts=1&discoveryInterval=1';
    const store = await open(`esdb://${addressesOf(servers)}?${settings}`);
    opened.push(store);
    await expect(store.head()).rejects.toMatchObject({ code: 'UNAVAILABLE', message: /the cluster has no leader/ });
    elect(servers[1], servers, servers[2]);
    await vi.waitFor(() => expectToUse(store, servers[1]), { timeout: 10_000, interval: 20 });
  });
});

describe('a leader that stops responding', () => {
  it.each([
    {
      waiting: 'appends',
      code: 'UNKNOWN',
      send: (store: EventStore) => store.append(newStream(), [note('lost')], { expect: 'none' }),
    },
    { waiting: 'reads', code: 'UNAVAILABLE', send: (store: EventStore) => readStream(store, newStream()) },
  ])('is left once another one is elected, without waiting for the time limit of $waiting', async ({ send, code }) => {
    const servers = await startCluster(0);
    const [first, second, third] = servers;
    const clock = manualClock();
    // No append ends by its time limit in this test.
    const store = await openStore(`esdb://${addressesOf(servers)}?tls=false`, clock, 600_000);
    await store.append(newStream(), [note('before')], { expect: 'none' });
    const followed = follow(store, {}, until(3));
    await vi.waitFor(() => expect(first.openReads).toBe(1));

    first.faults.freeze();
    const asked = [second.gossips, third.gossips];
    const received = first.received;
    const outcomes = Promise.allSettled(Array.from({ length: 20 }, () => send(store)));
    await vi.waitFor(() => expect(first.received).toBe(received + 20));
    await clock.advance(2_000);
    // Both have responded when only the silent one and the appends are waited for.
    await vi.waitFor(() => expect([second.gossips, third.gossips]).toEqual(asked.map((count) => count + 1)));
    await vi.waitFor(() => expect(clock.sleeping()).toBe(2));
    // There is no other leader yet: nothing was changed.
    expect(first.openReads).toBe(1);

    elect(second, [second, third], first);
    const electedAt = clock.monotonic();
    await clock.advance(2_000);
    await clock.advance(500);
    expect((await outcomes).map((outcome) => outcome.status === 'rejected' && outcome.reason.code)).toEqual(
      Array(20).fill(code),
    );
    expect(clock.monotonic() - electedAt).toBeLessThanOrEqual(3_000);
    await expectToUse(store, second);
    // The subscription continues at the new leader.
    await vi.waitFor(async () => {
      await clock.advance(100);
      expect(second.openReads).toBe(1);
    });
    await store.append(newStream(), [note('after')], { expect: 'none' });
    expect((await followed).records).toHaveLength(3);
  });

  it('is left as soon as it cannot append and another one is elected', async () => {
    const servers = await startCluster(0);
    const [first, second] = servers;
    const store = await openStore(`esdb://${addressesOf(servers)}?tls=false`, manualClock());
    await store.append(newStream(), [note('before')], { expect: 'none' });
    elect(second, servers.slice(1), first);
    first.faults.appends.push({ kind: 'busy' });
    const refused = store.append(newStream(), [note('refused')], { expect: 'none' });
    await expect(refused).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await vi.waitFor(() => expectToUse(store, second), { timeout: 10_000, interval: 20 });
  });

  it('is kept while it is only slow, because of its disk for instance', async () => {
    const servers = await startCluster(0);
    const [first, second, third] = servers;
    const clock = manualClock();
    const store = await openStore(`esdb://${addressesOf(servers)}?tls=false`, clock, 600_000);
    await store.append(newStream(), [note('before')], { expect: 'none' });
    const release = first.faults.holdAppends();
    const slow = store.append(newStream(), [note('slow')], { expect: 'none' });
    await vi.waitFor(() => expect(first.heldAppends).toBe(1));
    for (const [round, ms] of [2_000, 500, 500, 500].entries()) {
      const asked = first.gossips;
      await clock.advance(ms);
      await vi.waitFor(() => expect(first.gossips, `round ${round}`).toBe(asked + 1));
      // All have responded when only the next round and the append are waited for.
      await vi.waitFor(() => expect(clock.sleeping()).toBe(2));
    }
    release();
    expect(await slow).toMatchObject({ revision: 0n });
    expect([first, second, third].map(({ appends }) => appends)).toEqual([2, 0, 0]);
  });
});

it('a search for a node ends when the store is closed', async () => {
  const servers = await startCluster(0);
  for (const server of servers) server.faults.freeze();
  const store = await openStore(`esdb://${addressesOf(servers)}?tls=false`, manualClock());
  const read = expect(readStream(store, newStream())).rejects.toMatchObject({ code: 'CLOSED' });
  await vi.waitFor(() => expect(servers.map(({ connections }) => connections)).toEqual([1, 1, 1]));
  await store.close();
  await read;
});

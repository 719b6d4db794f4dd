import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { goLive, type Person, signIn, signUp } from '../../examples/two-people.ts';
import { hasReached } from '../../src/kernel/position.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { type Answered, ask, partsAway, untilSettled } from '../support/asking.ts';
import { startBusyProcessors } from '../support/busy-processors.ts';
import { type FaultyCluster, startFaultyCluster, untilAway, untilReady } from '../support/faulty-cluster.ts';
import { createGroups, expectStored, type Load, startLoad } from '../support/load.ts';
import { mongodb } from '../support/mongodb.ts';
import { missingForProxy } from '../support/mongodb-proxy.ts';
import type { Server } from '../support/server.ts';
import { service } from '../support/services.ts';
import { system } from '../support/stores.ts';
import { expectEqualsRebuild } from './equals-rebuild.ts';

/** More than writers: an append of unknown outcome holds up only the writers to its conversation. */
const GROUPS = 12;
const WRITERS = 8;
/** Longer than a node uses the cached state of a session for commands, in ms; in CI also longer than it repeats an append of unknown outcome. */
const OUTAGE_MS = process.env.CI ? 30_000 : 6_000;
const CUTS = 8;
/** After a fault, a node is ready and its read models are up to date within this time, in ms, whatever the load. */
const RECOVERY_MS = 5_000;
/** How long answers are held for an append, in ms: none comes while every writer waits for an answer. */
const HELD_MS = 2_000;
/** Processes that compute beside the scenario; `.ci/run` runs it with some. */
const BUSY = Number(process.env.PARLEY_TEST_BUSY ?? 0);

const unavailable = { status: 503, retryAfterS: expect.any(Number), answer: { code: 'unavailable' } };

describe.skipIf(!service(mongodb.name, missingForProxy))('a node whose event store fails', () => {
  let faulty: FaultyCluster;
  let node: Server;
  let log: EventLog;
  let ann: Person;
  let bob: Person;
  /** Responses of the node that was started while the event store was unavailable. */
  let atStart: Readonly<{ away: readonly string[] | null; alive: Answered; query: Answered; command: Answered }>;

  let busy: ReturnType<typeof startBusyProcessors>;

  beforeAll(async () => {
    busy = startBusyProcessors(BUSY);
    faulty = await startFaultyCluster();
    log = await faulty.cluster.openLog();
    faulty.eventStore.refuse();
    const launched = await faulty.launch();
    await untilAway(launched, (parts) => parts.length > 0);
    atStart = {
      away: await partsAway(launched),
      alive: await ask(launched, null, 'GET', '/healthz'),
      query: await ask(launched, null, 'GET', '/api/v1/conversations'),
      command: await ask(launched, null, 'POST', '/api/v1/users', { email: 'eve@example.org', username: 'eve' }),
    };
    await faulty.eventStore.pass();
    await launched.ready;
    node = launched;
    ann = await signUp(faulty.scene(node), 'ann');
    bob = await signUp(faulty.scene(node), 'bob');
  }, 60_000);

  afterAll(async () => {
    await busy?.close();
    await log?.close();
    await faulty?.close();
  }, 60_000);

  /** Writes as Ann and Bob to new groups while `during` runs; afterwards each acknowledged message is stored once. */
  async function underLoad(during: (load: Load) => Promise<void>): Promise<void> {
    const groups = await createGroups({ node, who: ann }, GROUPS, [bob]);
    const writers = Array.from({ length: WRITERS }, (_, w) => ({ node, who: w % 4 < 2 ? ann : bob }));
    const load = startLoad(writers, groups);
    try {
      await load.more(20);
      await during(load);
      await faulty.eventStore.pass();
      const recoveredBy = Date.now() + RECOVERY_MS;
      await untilReady(node, RECOVERY_MS);
      await untilSettled(node, ann, load.position(), recoveredBy - Date.now());
      expect(Date.now()).toBeLessThanOrEqual(recoveredBy);
      await load.more(20);
    } finally {
      await faulty.eventStore.pass();
      await load.stop();
    }
    await untilSettled(node, ann, load.position());
    await expectStored(load, groups, log, { node, who: bob });
  }

  it('reports it when it starts, refuses all other requests until the event store is available, and then goes on by itself', () => {
    expect(atStart).toMatchObject({
      away: ['event-store'],
      alive: { status: 200 },
      query: unavailable,
      command: unavailable,
    });
  });

  it('refuses commands and handles queries while the event store is unavailable; no message is lost or stored twice', async () => {
    const bobLive = await goLive(faulty.scene(node), bob);
    const known = await signIn(faulty.scene(node), ann);
    await ask(node, known, 'GET', '/api/v1/conversations');
    const unknown = await signIn(faulty.scene(node), await signUp(faulty.scene(node), 'eve'));
    let refusedId = '';

    await underLoad(async () => {
      await ask(node, known, 'GET', '/api/v1/conversations');
      faulty.eventStore.refuse();
      const end = Date.now() + OUTAGE_MS;
      await untilAway(node, (parts) => parts.length > 0);
      expect(await partsAway(node)).toEqual(['event-store']);
      refusedId = system.random.uuid(system.clock.now());
      const path = `/api/v1/chat/convo/one-to-one/message?otherUserId=${ann.userId}`;
      expect(await ask(node, bob, 'POST', path, { content: 'lost', messageId: refusedId })).toMatchObject(unavailable);
      for (; Date.now() < end; ) {
        for (const who of [ann, bob, known]) {
          expect((await ask(node, who, 'GET', '/api/v1/conversations')).status).toBe(200);
        }
      }
      expect(await ask(node, unknown, 'GET', '/api/v1/conversations')).toMatchObject(unavailable);
    });

    const direct = await ask(node, bob, 'POST', `/api/v1/chat/convo/one-to-one?otherUserId=${ann.userId}`);
    expect(direct).toMatchObject({ status: 200, answer: { exists: false } });
    const annLive = await goLive(faulty.scene(node), ann);
    await annLive.send(bob.userId, 'back again');
    await bobLive.message((content) => content === 'back again');
    annLive.close();
    bobLive.close();
  }, 120_000);

  it('handles queries while the event store does not answer, and all commands afterwards', async () => {
    await underLoad(async () => {
      faulty.eventStore.hold('all');
      const end = Date.now() + OUTAGE_MS;
      for (; Date.now() < end; ) {
        for (const who of [ann, bob]) {
          expect((await ask(node, who, 'GET', '/api/v1/conversations')).status).toBe(200);
        }
      }
      expect(await partsAway(node)).toEqual(['event-store']);
      faulty.eventStore.cut();
    });
  }, 120_000);

  it('handles all commands while the event store is slow', async () => {
    await underLoad(async (load) => {
      faulty.eventStore.delay(150);
      await load.more(40);
      expect(load.refusals.size).toBe(0);
    });
  }, 120_000);

  it('stores each message once when the connection is repeatedly cut between write and answer', async () => {
    let held = 0;
    await underLoad(async (load) => {
      for (let cut = 0; cut < CUTS; cut++) {
        faulty.eventStore.hold('answers');
        // Until there is an event after everything that was answered: its answer is held.
        const signal = AbortSignal.timeout(HELD_MS);
        for await (const { events } of log.subscribe({ after: load.position(), signal })) {
          if (events.some(({ position }) => !hasReached(load.position(), position))) {
            held++;
            break;
          }
        }
        faulty.eventStore.cut();
        await faulty.eventStore.pass();
        await load.more(10);
        await faulty.eventStore.cutAfter(Math.floor(Math.random() * 2_000));
        await load.more(10);
      }
    });
    expect(held).toBeGreaterThanOrEqual(CUTS / 2);
    await expectEqualsRebuild(faulty.cluster, (await log.head()) ?? '');
  }, 120_000);
});

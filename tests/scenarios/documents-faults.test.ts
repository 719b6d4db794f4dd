import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Person, signUp } from '../../examples/two-people.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import { type Answered, ask, partsAway, untilSettled } from '../support/asking.ts';
import { type FaultyCluster, startFaultyCluster, untilAway, untilReady } from '../support/faulty-cluster.ts';
import { createGroups, isKept, type Load, startLoad } from '../support/load.ts';
import { mongodb } from '../support/mongodb.ts';
import { missingForProxy } from '../support/mongodb-proxy.ts';
import { equalsRebuild, openLog } from '../support/rebuild.ts';
import type { Server } from '../support/server.ts';
import { service } from '../support/services.ts';

const GROUPS = 4;
const WRITERS = 8;
/** Messages acknowledged while MongoDB is at fault, at least. */
const ENOUGH = 150;
const CUTS = 12;

const unavailable = { status: 503, retryAfterS: expect.any(Number), answer: { code: 'unavailable' } };

describe.skipIf(!service(mongodb.name, missingForProxy))('a node whose MongoDB fails', () => {
  let faulty: FaultyCluster;
  let node: Server;
  let log: EventStore;
  let ann: Person;
  let bob: Person;
  /** What the node said while MongoDB was away at its start. */
  let atStart: Readonly<{ away: readonly string[] | null; alive: Answered; query: Answered; command: Answered }>;

  beforeAll(async () => {
    faulty = await startFaultyCluster();
    log = await openLog(faulty.cluster);
    faulty.documents.setAway(true);
    const launched = await faulty.launch();
    await untilAway(launched, (parts) => parts.length > 0);
    atStart = {
      away: await partsAway(launched),
      alive: await ask(launched, null, 'GET', '/healthz'),
      query: await ask(launched, null, 'GET', '/api/v1/conversations'),
      command: await ask(launched, null, 'POST', '/api/v1/users', { email: 'eve@example.org', username: 'eve' }),
    };
    faulty.documents.setAway(false);
    await launched.ready;
    node = launched;
    ann = await signUp(faulty.scene(node), 'ann');
    bob = await signUp(faulty.scene(node), 'bob');
  }, 60_000);

  afterAll(async () => {
    await log?.close();
    await faulty?.close();
  }, 60_000);

  const heal = (): void => {
    faulty.documents.judge(() => 'pass');
    faulty.documents.setAway(false);
  };

  /**
   * Writes as ann and bob to new groups while `during` runs. All of it is taken, for commands need no documents; then nothing is missing and nothing is
   * there twice, and the read models are what the log makes of them.
   */
  async function underLoad(during: (load: Load) => Promise<void>): Promise<void> {
    const groups = await createGroups({ node, who: ann }, GROUPS, [bob]);
    const writers = Array.from({ length: WRITERS }, (_, w) => ({ node, who: w % 4 < 2 ? ann : bob }));
    const load = startLoad(writers, groups);
    try {
      await load.more(20);
      await during(load);
      heal();
      await untilReady(node);
    } finally {
      heal();
      await load.stop();
    }
    expect(load.refusals.size).toBe(0);
    await untilSettled(node, ann, (await log.head()) ?? '');
    await isKept(load, groups, log, { node, who: bob });
    await equalsRebuild(faulty.cluster, load.position());
  }

  it('says so at its start, refuses everything else until it is there, and goes on by itself', () => {
    expect(atStart).toMatchObject({
      away: ['documents'],
      alive: { status: 200 },
      query: unavailable,
      command: unavailable,
    });
  });

  it('refuses queries while it is away under load, and takes every command; afterwards the read models have it all', async () => {
    const eve = { email: 'eve@example.org', username: 'eve', firstname: 'Eve' };
    await underLoad(async (load) => {
      faulty.documents.setAway(true);
      await untilAway(node, (parts) => parts.includes('documents'));
      expect(await partsAway(node)).not.toContain('event-store');
      expect(await ask(node, ann, 'GET', '/api/v1/conversations')).toMatchObject(unavailable);
      // Streams that the node has not looked at yet have no snapshot to begin with.
      expect((await ask(node, null, 'POST', '/api/v1/users', eve)).status).toBe(202);
      await load.more(ENOUGH);
    });
    // The mail that was due meanwhile.
    expect(await faulty.scene(node).linkFor(eve.email)).toMatch(/token=/);
  }, 120_000);

  it('takes every command while it is silent, and refuses queries once they have waited', async () => {
    await underLoad(async (load) => {
      const { promise: heard, resolve: hear } = Promise.withResolvers<'cut'>();
      faulty.documents.judge(() => heard);
      const path = `/api/v1/chat/convo/one-to-one/message?otherUserId=${ann.userId}`;
      expect((await ask(node, bob, 'POST', path, { content: 'to a stream that is not known yet' })).status).toBe(202);
      await untilAway(node, (parts) => parts.includes('documents'));
      expect(await ask(node, ann, 'GET', '/api/v1/conversations')).toMatchObject(unavailable);
      await load.more(ENOUGH);
      hear('cut');
    });
  }, 120_000);

  it('answers everything while it is slow', async () => {
    await underLoad(async (load) => {
      faulty.documents.judge(() => pause(100, 'pass' as const));
      await load.more(ENOUGH);
      await untilSettled(node, ann, load.position());
    });
  }, 120_000);

  it('applies nothing twice and skips nothing when its connection is cut between write and answer, again and again', async () => {
    await underLoad(async (load) => {
      for (let cut = 0; cut < CUTS; cut++) {
        await cutWrite(1 + Math.floor(Math.random() * 4));
        await load.more(10);
      }
    });
  }, 120_000);

  /** Cuts the connection when the `nth` write of documents from now on is done, before its answer. */
  function cutWrite(nth: number): Promise<void> {
    let left = nth;
    return new Promise((done) => {
      faulty.documents.judge((command) => {
        if (!('update' in command || 'insert' in command) || --left > 0) return 'pass';
        faulty.documents.judge(() => 'pass');
        done();
        return 'cut answer';
      });
    });
  }
});

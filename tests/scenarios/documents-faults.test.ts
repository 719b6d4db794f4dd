import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Person, signUp } from '../../examples/two-people.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { type Answered, ask, partsAway, untilSettled } from '../support/asking.ts';
import {
  type FaultyCluster,
  SHORT_MONGODB,
  startFaultyCluster,
  untilAway,
  untilReady,
} from '../support/faulty-cluster.ts';
import { createGroups, expectStored, type Load, startLoad } from '../support/load.ts';
import { mongodb } from '../support/mongodb.ts';
import { missingForProxy } from '../support/mongodb-proxy.ts';
import type { Server } from '../support/server.ts';
import { service } from '../support/services.ts';
import { expectEqualsRebuild } from './equals-rebuild.ts';

const GROUPS = 4;
const WRITERS = 8;
/** Messages that must be acknowledged during each fault of MongoDB, at least. */
const ENOUGH = 150;
const CUTS = 12;

const unavailable = { status: 503, retryAfterS: expect.any(Number), answer: { code: 'unavailable' } };

describe.skipIf(!service(mongodb.name, missingForProxy))('a node whose MongoDB fails', () => {
  let faulty: FaultyCluster;
  let node: Server;
  let log: EventLog;
  let ann: Person;
  let bob: Person;
  /** Responses of the node that was started while MongoDB was unavailable. */
  let atStart: Readonly<{ away: readonly string[] | null; alive: Answered; query: Answered; command: Answered }>;

  beforeAll(async () => {
    faulty = await startFaultyCluster(SHORT_MONGODB);
    log = await faulty.cluster.openLog();
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
   * Writes as Ann and Bob to new groups while `during` runs. All messages must be acknowledged, because commands need no documents; afterwards each is
   * stored once, and the read models equal a rebuild.
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
    await expectStored(load, groups, log, { node, who: bob });
    await expectEqualsRebuild(faulty.cluster, load.position());
  }

  it('reports it when it starts, refuses all other requests until MongoDB is available, and then goes on by itself', () => {
    expect(atStart).toMatchObject({
      away: ['documents'],
      alive: { status: 200 },
      query: unavailable,
      command: unavailable,
    });
  });

  it('refuses queries and registrations while it is unavailable, and handles all other commands; the read models catch up', async () => {
    const eve = { email: 'eve@example.org', username: 'eve', firstname: 'Eve' };
    const again = { email: ann.email, username: 'ann.again' };
    const register = (body: object) => ask(node, null, 'POST', '/api/v1/users', body, 'a key for this registration');
    await underLoad(async (load) => {
      faulty.documents.setAway(true);
      await untilAway(node, (parts) => parts.includes('documents'));
      expect(await partsAway(node)).not.toContain('event-store');
      expect(await ask(node, ann, 'GET', '/api/v1/conversations')).toMatchObject(unavailable);
      // A stream that the node has not read before is loaded without its snapshot.
      expect(await createGroups({ node, who: ann }, 1, [bob])).toHaveLength(1);
      // Nothing about a person is written without their key, which is in MongoDB; no address is answered differently from others.
      expect(await register(eve)).toMatchObject(unavailable);
      expect(await register(again)).toMatchObject(unavailable);
      await load.more(ENOUGH);
    });
    expect((await register(again)).status).toBe(202);
    expect(await faulty.smtp.waitForMail(ann.email, 2, 30_000)).toMatchObject({
      subject: 'You already have a Parley account',
    });
    expect((await register(eve)).status).toBe(202);
    expect(await faulty.scene(node).linkFor(eve.email)).toMatch(/token=/);
  }, 120_000);

  it('handles all commands while MongoDB does not answer, and refuses queries after a timeout', async () => {
    await underLoad(async (load) => {
      const verdict = Promise.withResolvers<'cut'>();
      faulty.documents.judge(() => verdict.promise);
      const path = `/api/v1/chat/convo/one-to-one/message?otherUserId=${ann.userId}`;
      expect(
        (await ask(node, bob, 'POST', path, { content: 'to a stream that the node has not read yet' })).status,
      ).toBe(202);
      await untilAway(node, (parts) => parts.includes('documents'));
      expect(await ask(node, ann, 'GET', '/api/v1/conversations')).toMatchObject(unavailable);
      await load.more(ENOUGH);
      verdict.resolve('cut');
    });
  }, 120_000);

  it('handles all commands and queries while MongoDB is slow', async () => {
    await underLoad(async (load) => {
      faulty.documents.judge(() => pause(100, 'pass' as const));
      await load.more(ENOUGH);
      await untilSettled(node, ann, load.position());
    });
  }, 120_000);

  it('applies each event once when its connection is repeatedly cut between write and answer', async () => {
    await underLoad(async (load) => {
      for (let cut = 0; cut < CUTS; cut++) {
        await cutWrite(1 + Math.floor(Math.random() * 4));
        await load.more(10);
      }
    });
  }, 120_000);

  /** Cuts the connection after the `nth` write of documents from now on, before its answer. */
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

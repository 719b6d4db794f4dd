import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { goLive, type Person, signUp } from '../../examples/two-people.ts';
import { untilSettled } from '../support/asking.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { createGroups, expectStored, startLoad } from '../support/load.ts';
import { mongodb } from '../support/mongodb.ts';
import { sceneAt } from '../support/scene.ts';
import type { Server } from '../support/server.ts';
import { service } from '../support/services.ts';
import { startSmtpServer, type TestSmtpServer } from '../support/smtp.ts';
import { expectEqualsRebuild } from './equals-rebuild.ts';

const GROUPS = 4;
const WRITERS = 8;

/** Whether a node has logged that it took the lease of the projections. */
const runsProjections = (node: Server): boolean =>
  node
    .output()
    .split('\n')
    .some((line) => line.includes('"lease taken"') && line.includes('"projections"'));

const missing = mongodb.available === true ? null : mongodb.available;

describe.skipIf(!service(mongodb.name, missing))('two API nodes and two projection nodes on shared stores', () => {
  let smtp: TestSmtpServer;
  let cluster: Cluster;
  let api: readonly [Server, Server];
  let workers: Server[];
  let ann: Person;
  let bob: Person;

  beforeAll(async () => {
    smtp = await startSmtpServer();
    cluster = await startCluster(mongodb.url, { SMTP_URL: smtp.url, LOG_LEVEL: 'info' });
    workers = [await cluster.node('projections,mail'), await cluster.node('projections,mail')];
    api = [await cluster.node('api'), await cluster.node('api')];
    ann = await signUp(sceneAt(api[0], smtp), 'ann');
    bob = await signUp(sceneAt(api[1], smtp), 'bob');
  }, 120_000);

  afterAll(async () => {
    await cluster?.close();
    await smtp?.close();
  }, 60_000);

  it('users on different nodes receive the messages of each other live', async () => {
    const annLive = await goLive(sceneAt(api[0], smtp), ann);
    const bobLive = await goLive(sceneAt(api[1], smtp), bob);
    await annLive.send(bob.userId, 'over two nodes');
    await bobLive.message((content) => content === 'over two nodes');
    await bobLive.send(ann.userId, 'and back');
    await annLive.message((content) => content === 'and back');
    annLive.close();
    bobLive.close();
  });

  it('when the node that runs the projections is killed under load, the other one takes over, and the read models equal a rebuild', async () => {
    const groups = await createGroups({ node: api[0], who: ann }, GROUPS, [bob]);
    const writers = Array.from({ length: WRITERS }, (_, w) =>
      w < WRITERS / 2 ? { node: api[0], who: ann } : { node: api[1], who: bob },
    );
    const load = startLoad(writers, groups);
    await load.more(100);
    const worker = workers.find(runsProjections);
    expect(worker).toBeDefined();
    await worker?.kill();
    const before = load.acknowledged.size;
    // The other one takes over within 15 s. Commands are handled meanwhile.
    await untilSettled(api[1], bob, load.position(), 20_000);
    await load.stop();
    expect(load.acknowledged.size).toBeGreaterThan(before);
    await untilSettled(api[0], ann, load.position());
    await expectEqualsRebuild(cluster, load.position());
    const log = await cluster.openLog();
    await expectStored(load, groups, log, { node: api[0], who: ann });
    await log.close();
  }, 120_000);
});

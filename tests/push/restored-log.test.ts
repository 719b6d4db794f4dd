import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import { type Logger, silentLogger } from '../../src/kernel/logger.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { Hub } from '../../src/push/hub.ts';
import { execute, group, message, newId, openLog, startNode, type TestNode } from '../commands/node.ts';
import { copyOf, type ReplaceableLog, replaceable } from '../commands/replaceable-log.ts';
import { type MemoryStores, openMemoryStores, system } from '../support/stores.ts';
import { listen, TestClient } from './world.ts';

const [ann, bob] = [newId(), newId()];
/** Fields and message of each error that was logged. */
const errors: [fields: object, text: string][] = [];
const logger: Logger = { ...silentLogger, error: (fields, text) => void errors.push([fields, text]) };

let stores: MemoryStores;
let node: TestNode;
let copy: MemoryStores;
let log: ReplaceableLog;
let hub: Hub;
let conversationId: string;

/** Sends messages over a node. */
async function send(over: TestNode, ...contents: readonly string[]): Promise<void> {
  for (const content of contents) await execute(over, ann, message(conversationId, content));
}

beforeEach(async () => {
  stores = await openMemoryStores();
  node = await startNode(stores);
  conversationId = await group(node, ann, bob);
  await send(node, 'kept');
  copy = await copyOf(stores);
  log = replaceable(openLog(stores));
  const since = (await stores.log.readStream(`conversation-${conversationId}`)).events[0]?.position ?? '';
  hub = new Hub({ ...system, logger, log, memberships: async () => [{ conversationId, since }] });
  await hub.start();
});

afterEach(async () => {
  errors.splice(0);
  await hub.close();
  await node.commands.close();
  await Promise.all([stores.close(), copy.close()]);
});

/** Waits until the hub has caught up with the log again. */
const untilLive = () => expect.poll(async () => (await hub.status()).state, { interval: 5 }).toBe('live');

/** Bob's client, which has received messages that the copy does not have, when the log was replaced by the copy. */
async function interrupted(by: EventLog = copy.log): Promise<TestClient> {
  const client = await listen(hub, bob);
  await send(node, 'lost', 'lost too');
  await client.until(({ contents }) => contents.includes('lost too'));
  log.replace(by);
  await client.until(({ ended }) => ended !== null);
  return client;
}

describe('when the log was restored from an older copy while the hub runs', () => {
  it('clients are ended, and receive a resync when they come back, and what happens afterwards', async () => {
    const client = await interrupted();
    expect(client.ended).toBe('stopped');
    const [anchor] = (await stores.log.readStream(`conversation-${conversationId}`, { direction: 'backwards' })).events;
    expect(errors).toStrictEqual([
      [
        {
          follower: 'push',
          position: anchor?.position,
          anchor: { position: anchor?.position, id: anchor?.id, at: anchor?.recordedAt },
          head: await copy.log.head(),
          shared: null,
        },
        expect.stringMatching(/it was restored from an older copy \(noticed at 20[-\dT:.]+Z\)$/),
      ],
    ]);

    await untilLive();
    const back = new TestClient(hub, bob);
    expect(await back.listen(client.lastId)).toMatchObject({ outcome: 'resync' });
    expect(back.received).toMatchObject([{ event: 'resync', payload: { position: await copy.log.head() } }]);
    const other = await startNode(copy);
    await send(other, 'new');
    await back.until(({ contents }) => contents.includes('new'));
    expect(back.contents).toStrictEqual(['new']);
    expect(await hub.status()).toMatchObject({ state: 'live', lastError: null });
    await other.commands.close();
  });

  it('a client receives a resync also when the log has grown past the last frame that it received', async () => {
    const client = await interrupted();
    await untilLive();
    const other = await startNode(copy);
    await send(other, 'new', 'newer', 'newest');
    const probe = await listen(hub, bob);
    await send(other, 'latest');
    await probe.until(({ contents }) => contents.includes('latest'));
    expect(probe.received.at(-1)?.id.split('.')[1]).not.toBe(client.lastId.split('.')[1]);

    const back = new TestClient(hub, bob);
    expect(await back.listen(client.lastId)).toMatchObject({ outcome: 'resync' });
    // What was made after the restore can be resumed.
    const again = new TestClient(hub, bob);
    expect(await again.listen(probe.lastId)).toMatchObject({ outcome: 'resumed' });
    await send(other, 'end');
    for (const one of [back, again]) {
      await one.until(({ contents }) => contents.includes('end'));
      expect(one.contents).toStrictEqual(['end']);
    }
    await other.commands.close();
  });

  it('the hub goes on although the restored log is unavailable for a while', async () => {
    let failures = 0;
    const flaky: EventLog = {
      ...copy.log,
      readAll: (options) =>
        failures++ < 1
          ? Promise.reject(new StoreError('UNAVAILABLE', 'unavailable, as the test wants it'))
          : copy.log.readAll(options),
    };
    const client = await interrupted(flaky);
    await expect(hub.connect(new TestClient(hub, bob))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect.poll(async () => (await hub.status()).state, { timeout: 5_000 }).toBe('live');
    expect(failures).toBeGreaterThan(1);
    expect(hub.stats()).toMatchObject({ connections: 0, users: 0 });
    const other = await startNode(copy);
    const back = new TestClient(hub, bob);
    expect(await back.listen(client.lastId)).toMatchObject({ outcome: 'resync' });
    await send(other, 'new');
    await back.until(({ contents }) => contents.includes('new'));
    await other.commands.close();
  });
});

/** Which messages follow a position where the log continues differently, and how the lost client's place relates to them. */
describe.each([
  ['ends before the last frame of a client', []],
  ['has another event at the place of that frame', ['new', 'newer']],
  ['has grown past that frame', ['new', 'newer', 'newest', 'latest']],
])('when the log was restored while no node ran, and %s', (_how, contents) => {
  it('a new hub sends a resync to clients that saw what was lost, and resumes others', async () => {
    const client = await listen(hub, bob);
    await send(node, 'shared too');
    await client.until(({ contents }) => contents.includes('shared too'));
    const shared = client.lastId;
    const later = await copyOf(stores);
    await send(node, 'lost', 'lost too');
    await client.until(({ contents }) => contents.includes('lost too'));
    const other = await startNode(later);
    await send(other, ...contents);
    const since = (await stores.log.readStream(`conversation-${conversationId}`)).events[0]?.position ?? '';
    const fresh = new Hub({
      ...system,
      // A copy has the epoch of its original.
      log: { ...later.log, epoch: () => stores.log.epoch() },
      memberships: async () => [{ conversationId, since }],
    });
    await fresh.start();

    const back = new TestClient(fresh, bob);
    expect(await back.listen(client.lastId)).toMatchObject({ outcome: 'resync' });
    expect(back.received).toMatchObject([{ event: 'resync', payload: { position: await later.log.head() } }]);
    const again = new TestClient(fresh, bob);
    expect(await again.listen(shared)).toMatchObject({ outcome: 'resumed' });
    await send(other, 'end');
    for (const one of [back, again]) await one.until((seen) => seen.contents.includes('end'));
    expect(back.contents).toStrictEqual(['end']);
    expect(again.contents).toStrictEqual([...contents, 'end']);
    // A resync frame's own id can be resumed from.
    const resumed = new TestClient(fresh, bob);
    expect(await resumed.listen(back.received[0]?.id ?? '')).toMatchObject({ outcome: 'resumed' });
    await resumed.until((seen) => seen.contents.includes('end'));

    await fresh.close();
    await other.commands.close();
    await later.close();
  });
});

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import { activated, type Node, openWorld, request, signIn, startNode, type World } from './world.ts';

const over = { code: 'unauthenticated', message: 'this session has ended; sign in again' };

let world: World;
let node: Node;
let userId: string;
beforeEach(async () => {
  world = await openWorld();
  node = await startNode(world);
  userId = await activated(world, node);
});
afterEach(async () => {
  await node.commands.close();
  await world.close();
});

describe('the state of a session', () => {
  it('is read from the log once in three seconds, independent of the number of requests', async () => {
    const { accessToken } = await signIn(world, node);
    await node.identity.authenticate(accessToken, 'command');
    const reads = countReads();
    await Promise.all(Array.from({ length: 100 }, () => node.identity.authenticate(accessToken, 'command')));
    expect(reads()).toBe(0);
    await world.clock.advance(3_000);
    await Promise.all(Array.from({ length: 100 }, () => node.identity.authenticate(accessToken, 'command')));
    // The account and its sessions.
    expect(reads()).toBe(2);
  });

  it('is trusted for five seconds while the log is away, after which requests get unavailable', async () => {
    const { accessToken } = await signIn(world, node);
    await node.identity.authenticate(accessToken, 'command');
    const back = takeLogAway();
    await world.clock.advance(4_999);
    await expect(node.identity.authenticate(accessToken, 'command')).resolves.toMatchObject({ userId });
    await world.clock.advance(1);
    await expect(node.identity.authenticate(accessToken, 'command')).rejects.toMatchObject({
      code: expect.stringMatching(/^unavailable$/i),
    });
    back();
    await expect(node.identity.authenticate(accessToken, 'command')).resolves.toMatchObject({ userId });
  });
});

describe('while the log is away', () => {
  const unavailable = { code: expect.stringMatching(/^unavailable$/i) };

  it('queries of a live session continue until its access token expires, commands do not', async () => {
    const { accessToken } = await signIn(world, node);
    await node.identity.authenticate(accessToken, 'query');
    takeLogAway();
    for (let passed = 0; passed < 595_000; passed += 5_000) {
      await world.clock.advance(5_000);
      await expect(node.identity.authenticate(accessToken, 'query')).resolves.toMatchObject({ userId });
      await expect(node.identity.authenticate(accessToken, 'command')).rejects.toMatchObject(unavailable);
    }
    await world.clock.advance(5_000);
    await expect(node.identity.authenticate(accessToken, 'query')).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  it('an unknown session gets unavailable, also for queries', async () => {
    const elsewhere = await startNode(world);
    const known = await signIn(world, node);
    await elsewhere.identity.authenticate(known.accessToken, 'query');
    const unknown = await signIn(world, node);
    takeLogAway();
    await expect(elsewhere.identity.authenticate(known.accessToken, 'query')).resolves.toMatchObject({ userId });
    await expect(elsewhere.identity.authenticate(unknown.accessToken, 'query')).rejects.toMatchObject(unavailable);
    await elsewhere.commands.close();
  });

  it('queries of a session that has ended continue, and are refused within five seconds after the log is back', async () => {
    const elsewhere = await startNode(world);
    const { accessToken } = await signIn(world, node);
    await node.identity.authenticate(accessToken, 'query');
    await endSession(elsewhere, accessToken);
    const back = takeLogAway();
    await world.clock.advance(60_000);
    await expect(node.identity.authenticate(accessToken, 'query')).resolves.toMatchObject({ userId });
    back();
    await world.clock.advance(4_999);
    await expect(node.identity.authenticate(accessToken, 'query')).rejects.toMatchObject(over);
    await elsewhere.commands.close();
  });

  it('one query in three seconds waits one second for a log that does not respond; a late response counts', async () => {
    const elsewhere = await startNode(world);
    const { accessToken } = await signIn(world, node);
    await node.identity.authenticate(accessToken, 'query');
    await endSession(elsewhere, accessToken);
    const log = holdReads();
    await world.clock.advance(3_000);
    const waiting = node.identity.authenticate(accessToken, 'query');
    await vi.waitUntil(() => log.isWaiting());
    const settled = vi.fn();
    void waiting.then(settled);
    await world.clock.advance(999);
    expect(settled).not.toHaveBeenCalled();
    await world.clock.advance(1);
    await expect(waiting).resolves.toMatchObject({ userId });
    await expect(node.identity.authenticate(accessToken, 'query')).resolves.toMatchObject({ userId });
    await log.respond();
    await expect(node.identity.authenticate(accessToken, 'query')).rejects.toMatchObject(over);
    await elsewhere.commands.close();
  });

  it('a command that waited too long for the log is not accepted on the basis of the earlier state', async () => {
    const { accessToken } = await signIn(world, node);
    await node.identity.authenticate(accessToken, 'command');
    const log = holdReads();
    await world.clock.advance(3_000);
    const asked = node.identity.authenticate(accessToken, 'command');
    const outcome = expect(asked).rejects.toMatchObject(unavailable);
    await vi.waitUntil(() => log.isWaiting());
    await world.clock.advance(2_000);
    await log.respond(new StoreError('UNAVAILABLE', 'no response: fault of this test'));
    await outcome;
  });
});

async function endSession(on: Node, accessToken: string): Promise<void> {
  await on.identity.signOut(await on.identity.authenticate(accessToken, 'command'), request(world));
}

/** Holds every read until `respond`, which fails them when it gets an error. */
function holdReads(): { isWaiting(): boolean; respond(error?: Error): Promise<void> } {
  const read = world.store.readStream.bind(world.store);
  const { promise: responded, resolve, reject } = Promise.withResolvers<void>();
  responded.catch(() => {});
  const held: Promise<unknown>[] = [];
  world.store.readStream = (...args) => {
    const reading = responded.then(() => read(...args));
    held.push(reading);
    return reading;
  };
  return {
    isWaiting: () => held.length > 0,
    async respond(error) {
      world.store.readStream = read;
      if (error === undefined) resolve();
      else reject(error);
      await Promise.allSettled(held);
      // Lets the readers process it.
      await new Promise((done) => setImmediate(done));
    },
  };
}

function countReads(): () => number {
  const read = world.store.readStream.bind(world.store);
  let reads = 0;
  world.store.readStream = (...args) => {
    reads++;
    return read(...args);
  };
  return () => reads;
}

/** Makes every read fail until the returned function is called. */
function takeLogAway(): () => void {
  const read = world.store.readStream.bind(world.store);
  world.store.readStream = () => Promise.reject(new StoreError('UNAVAILABLE', 'away: fault of this test'));
  return () => {
    world.store.readStream = read;
  };
}

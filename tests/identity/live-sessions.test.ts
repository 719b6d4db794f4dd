import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import { activated, type Node, openWorld, request, signIn, startNode, type World } from './world.ts';

const over = { code: 'unauthenticated', message: 'this session is over; sign in again' };

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

describe('whether a session is live', () => {
  it('costs one look at the log in three seconds, however often it is asked', async () => {
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

  it('is believed for five seconds while the log is away, and then answered with unavailable', async () => {
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

  it('queries of a session that was live go on until its access token runs out; its commands do not', async () => {
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

  it('a session that this node does not know is unavailable, also for queries', async () => {
    const elsewhere = await startNode(world);
    const known = await signIn(world, node);
    await elsewhere.identity.authenticate(known.accessToken, 'query');
    const unknown = await signIn(world, node);
    takeLogAway();
    await expect(elsewhere.identity.authenticate(known.accessToken, 'query')).resolves.toMatchObject({ userId });
    await expect(elsewhere.identity.authenticate(unknown.accessToken, 'query')).rejects.toMatchObject(unavailable);
    await elsewhere.commands.close();
  });

  it('a session that was ended meanwhile reads on, and is refused within five seconds of the return of the log', async () => {
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

  it('a silent log is waited for by one query in three seconds, for a second; what it says late holds', async () => {
    const elsewhere = await startNode(world);
    const { accessToken } = await signIn(world, node);
    await node.identity.authenticate(accessToken, 'query');
    await endSession(elsewhere, accessToken);
    const log = silenceLog();
    await world.clock.advance(3_000);
    const waiting = node.identity.authenticate(accessToken, 'query');
    await vi.waitUntil(() => log.isAsked());
    const settled = vi.fn();
    void waiting.then(settled);
    await world.clock.advance(999);
    expect(settled).not.toHaveBeenCalled();
    await world.clock.advance(1);
    await expect(waiting).resolves.toMatchObject({ userId });
    await expect(node.identity.authenticate(accessToken, 'query')).resolves.toMatchObject({ userId });
    await log.speak();
    await expect(node.identity.authenticate(accessToken, 'query')).rejects.toMatchObject(over);
    await elsewhere.commands.close();
  });

  it('a command that waited for a silent log for too long is not taken by what was known before', async () => {
    const { accessToken } = await signIn(world, node);
    await node.identity.authenticate(accessToken, 'command');
    const log = silenceLog();
    await world.clock.advance(3_000);
    const asked = node.identity.authenticate(accessToken, 'command');
    const outcome = expect(asked).rejects.toMatchObject(unavailable);
    await vi.waitUntil(() => log.isAsked());
    await world.clock.advance(2_000);
    await log.speak(new StoreError('UNAVAILABLE', 'no answer, as the test wants it'));
    await outcome;
  });
});

async function endSession(on: Node, accessToken: string): Promise<void> {
  await on.identity.signOut(await on.identity.authenticate(accessToken, 'command'), request(world));
}

/** Holds every read until `speak`, which fails them if it is given an error. */
function silenceLog(): { isAsked(): boolean; speak(error?: Error): Promise<void> } {
  const read = world.log.readStream.bind(world.log);
  const { promise: spoken, resolve, reject } = Promise.withResolvers<void>();
  spoken.catch(() => {});
  const held: Promise<unknown>[] = [];
  world.log.readStream = (...args) => {
    const reading = spoken.then(() => read(...args));
    held.push(reading);
    return reading;
  };
  return {
    isAsked: () => held.length > 0,
    async speak(error) {
      world.log.readStream = read;
      if (error === undefined) resolve();
      else reject(error);
      await Promise.allSettled(held);
      // Whoever reads has taken it in then.
      await new Promise((done) => setImmediate(done));
    },
  };
}

function countReads(): () => number {
  const read = world.log.readStream.bind(world.log);
  let reads = 0;
  world.log.readStream = (...args) => {
    reads++;
    return read(...args);
  };
  return () => reads;
}

/** Every read fails until the function that it gives is called. */
function takeLogAway(): () => void {
  const read = world.log.readStream.bind(world.log);
  world.log.readStream = () => Promise.reject(new StoreError('UNAVAILABLE', 'away, as the test wants it'));
  return () => {
    world.log.readStream = read;
  };
}

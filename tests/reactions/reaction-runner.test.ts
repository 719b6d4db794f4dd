import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/kernel/logger.ts';
import type { EventLog } from '../../src/log/event-log.ts';
import { FencedOff } from '../../src/log/lease.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import type { Reaction } from '../../src/reactions/reaction.ts';
import { createReactionRunner } from '../../src/reactions/reaction-runner.ts';
import { copyOf, replaceable } from '../commands/replaceable-log.ts';
import { manualClock } from '../support/manual-clock.ts';
import { type MemoryStores, openMemoryStores, system } from '../support/stores.ts';
import { appendEvent, effectOf, recording, sharedLease, start, unless, until } from './world.ts';

const CHECKPOINT = 'reactions/recording';

let stores: MemoryStores;
let log: EventLog;
let documents: DocumentStore;
const stops: (() => Promise<void>)[] = [];
beforeEach(async () => {
  stores = await openMemoryStores();
  ({ log, documents } = stores);
});
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  await stores.close();
});

async function run(...args: Parameters<typeof start> extends [unknown, ...infer Rest] ? Rest : never) {
  const node = await start(stores, ...args);
  stops.push(node.stop);
  return node;
}

const statusIs = (id: string, status: string) => async () => (await effectOf(documents, id))?.status === status;
const checkpoint = async () => (await documents.getMany('checkpoints', [CHECKPOINT])).get(CHECKPOINT);

describe('the start of a reaction', () => {
  const prepare = (reaction: Reaction, over = stores) =>
    createReactionRunner(
      { ...system, log: over.log, documents, clock: manualClock(), lease: { unavailable: null, run: async () => {} } },
      reaction,
    ).prepare();

  it('is the end of the log for a new reaction: earlier events have no effect', async () => {
    await appendEvent(log);
    const { reaction, performed } = recording();
    await prepare(reaction);
    const later = await appendEvent(log);
    await run(reaction);
    await until('the later one is done', statusIs(later, 'done'));
    expect(performed).toEqual([later]);
  });

  it('is stored when it is prepared, so that no later event is missed, however late it runs', async () => {
    const { reaction, performed } = recording();
    await prepare(reaction);
    const ids = [await appendEvent(log), await appendEvent(log)];
    await prepare(reaction);
    await run(reaction);
    await until('both are done', async () =>
      (await Promise.all(ids.map((id) => statusIs(id, 'done')()))).every(Boolean),
    );
    expect(performed.toSorted()).toEqual(ids.toSorted());
  });

  it('is the end of this log when the documents belong to another one', async () => {
    const { reaction, performed } = recording();
    await prepare(reaction);
    const other = await openMemoryStores();
    await appendEvent(other.log);
    const node = await start({ log: other.log, documents }, reaction);
    const later = await appendEvent(other.log);
    await until('the later one is done', statusIs(later, 'done'));
    expect(performed).toEqual([later]);
    await node.stop();
    await other.close();
  });

  it('is stored with the log, the last event, the fence and the writer', async () => {
    const before = await appendEvent(log);
    const head = await log.head();
    const { reaction } = recording();
    await prepare(reaction);
    const epoch = await log.epoch();
    const { events } = await log.readAll({ direction: 'forwards', from: null });
    const anchor = { position: head, id: before, at: events[0]?.recordedAt };
    expect((await checkpoint())?.body).toEqual({
      position: head,
      anchor,
      former: [],
      events: 0,
      parked: null,
      epoch,
      fence: 0,
      writer: '',
    });
    await run(reaction);
    const later = await appendEvent(log);
    await until('it is done', statusIs(later, 'done'));
    const position = await log.head();
    expect((await checkpoint())?.body).toEqual({
      position,
      anchor: { position, id: later, at: expect.stringMatching(/^\d{4}-.*Z$/) },
      former: [anchor],
      events: 1,
      parked: null,
      epoch,
      fence: expect.any(Number),
      writer: expect.stringMatching(/./),
    });
  });
});

describe('a node', () => {
  it('goes on after its lease has failed in an unexpected way', async () => {
    const { reaction, performed } = recording();
    const shared = sharedLease();
    let failures = 2;
    const lease: typeof shared = {
      ...shared,
      run: (...args) => (failures-- > 0 ? Promise.reject(new TypeError('as the test wants it')) : shared.run(...args)),
    };
    const { clock } = await run(reaction, manualClock(), lease);
    const id = await appendEvent(log);
    await until('the effect is done', async () => {
      await clock.advance(500);
      return statusIs(id, 'done')();
    });
    expect(performed).toEqual([id]);
  });

  it('works only while it has the lease, and ends its work before it gives the lease up', async () => {
    const { reaction, performed } = recording();
    const grant = Promise.withResolvers<void>();
    const released: string[] = [];
    const shared = sharedLease();
    const lease: typeof shared = {
      ...shared,
      async run(signal, work) {
        await grant.promise;
        await shared.run(signal, work);
        released.push('released');
      },
    };
    const node = await run(reaction, manualClock(), lease);
    const id = await appendEvent(log);
    for (let i = 0; i < 20; i++) await node.clock.advance(60_000);
    expect(performed).toEqual([]);
    expect(await node.runner.status()).toBeNull();
    grant.resolve();
    await until('it is done', statusIs(id, 'done'));
    expect(await node.runner.status()).toMatchObject({
      name: 'recording',
      state: 'live',
      lagEvents: 0,
      lastError: null,
    });
    await node.stop();
    expect(released).toEqual(['released']);
    expect(await node.runner.status()).toBeNull();
  });

  it('works again when it gets the lease back after it was lost', async () => {
    const { reaction } = recording();
    const lease = sharedLease();
    await run(reaction, manualClock(), lease);
    await until('it has the lease', () => lease.held.length === 1);
    lease.held[0]?.abort();
    await until('it has the lease again', () => lease.held.length === 2);
    const id = await appendEvent(log);
    await until('it is done', statusIs(id, 'done'));
    expect(lease.ended).toEqual([null]);
  });

  it('is fenced off as soon as another one has a later lease', async () => {
    const { reaction, performed } = recording();
    const lease = sharedLease(1);
    const paused = await run(reaction, manualClock(), lease);
    await until('it is live', async () => (await paused.runner.status())?.state === 'live');
    // It does not notice that it has lost its lease.
    const other = await run(reaction, manualClock(), sharedLease(1));
    await until('the other one is live', async () => (await other.runner.status())?.state === 'live');
    const ids = [await appendEvent(log), await appendEvent(log)];
    for (const id of ids) await until('it is done', statusIs(id, 'done'));
    await until('the first one was fenced off', () => lease.ended.length > 0);
    expect(lease.ended).toEqual([expect.any(FencedOff)]);
    expect(lease.held[0]?.signal.aborted).toBe(false);
    expect(performed.toSorted()).toEqual(ids.toSorted());
    expect(await paused.runner.status()).toBeNull();
    expect(await other.runner.status()).toMatchObject({ state: 'live' });
  });

  it('ends its effects in progress before it gives the lease up, also when it is fenced off', async () => {
    const gate = Promise.withResolvers<void>();
    const { reaction: slow, performed: begun } = recording(() => gate.promise);
    const lease = sharedLease(1);
    const paused = await run(slow, manualClock(), lease);
    const first = await appendEvent(log);
    await until('it has begun', () => begun.length === 1);
    const { reaction } = recording();
    const other = await run(reaction, manualClock(), sharedLease(1));
    await until('the other one is live', async () => (await other.runner.status())?.state === 'live');
    const second = await appendEvent(log);
    await until('the other one has done the second', statusIs(second, 'done'));
    await until('the first one was fenced off', async () => (await paused.runner.status())?.state === 'stopped');
    await paused.clock.advance(1_000);
    expect(lease.ended).toEqual([]);
    gate.resolve();
    await until('it has ended', () => lease.ended.length === 1);
    expect(lease.ended).toEqual([expect.any(FencedOff)]);
    expect(await effectOf(documents, first)).toMatchObject({ status: 'done', attempts: 1 });
  });

  it.each([
    ['ends before its checkpoint', 0, 3],
    ['has another event at its checkpoint', 1, 2],
    ['has grown past its checkpoint', 3, 1],
  ])('goes on from the last event that both logs have, when the log was restored and %s', async (_how, first, rest) => {
    const { reaction, performed } = recording();
    const lease = sharedLease();
    const replaced = replaceable(log);
    const clock = manualClock();
    const lines: string[] = [];
    const logger = { ...silentLogger, error: (_fields: object, text: string) => void lines.push(text) };
    const node = await start({ log: replaced, documents }, reaction, clock, lease, logger);
    stops.push(node.stop);
    const kept = await appendEvent(log);
    const copy = await copyOf(stores);
    const lost = await appendEvent(log);
    for (const id of [kept, lost]) await until('it is done', statusIs(id, 'done'));
    const added: string[] = [];
    for (let i = 0; i < first; i++) added.push(await appendEvent(copy.log));

    replaced.replace(copy.log);
    await until('it has noticed', async () => {
      await clock.advance(100);
      return lines.length === 2;
    });
    for (let i = 0; i < rest; i++) added.push(await appendEvent(copy.log));
    for (const id of added) {
      await until('it is done', async () => {
        await clock.advance(100);
        return statusIs(id, 'done')();
      });
    }
    expect(lines).toEqual([
      expect.stringContaining('it was restored from an older copy (noticed at '),
      expect.stringContaining('goes on from an event that both logs have'),
    ]);
    expect(performed.toSorted()).toEqual([kept, lost, ...added].toSorted());
    expect(await node.runner.status()).toMatchObject({ state: 'live', lastError: null });
    expect(lease.ended).toEqual([]);
    await node.stop();
    await copy.close();
  });

  it('goes on from the end of a restored log that has none of the events that it knows', async () => {
    const { reaction, performed } = recording();
    await appendEvent(log);
    const clock = manualClock();
    const replaced = replaceable(log);
    const node = await start({ log: replaced, documents }, reaction, clock);
    stops.push(node.stop);
    await until('it is live', async () => (await node.runner.status())?.state === 'live');
    const other = await openMemoryStores();
    await appendEvent(other.log);
    replaced.replace(other.log);
    await until('it is live again, at the end', async () => {
      await clock.advance(100);
      return (
        (await checkpoint())?.body.position === (await other.log.head()) &&
        (await node.runner.status())?.state === 'live'
      );
    });
    const later = await appendEvent(other.log);
    await until('the later one is done', statusIs(later, 'done'));
    expect(performed).toEqual([later]);
    await node.stop();
    await other.close();
  });

  it('goes on after the documents were unavailable', async () => {
    const { reaction, performed } = recording();
    let isAway = false;
    const clock = manualClock();
    const node = await start({ log, documents: unless(() => isAway, documents) }, reaction, clock);
    stops.push(node.stop);
    await until('it is live', async () => (await node.runner.status())?.state === 'live');
    isAway = true;
    const id = await appendEvent(log);
    for (let i = 0; i < 5; i++) await clock.advance(60_000);
    expect(performed).toEqual([]);
    expect(await node.runner.status()).toMatchObject({ state: 'retrying', lastError: expect.stringContaining('test') });
    isAway = false;
    await until('it is done', async () => {
      await clock.advance(15_000);
      return statusIs(id, 'done')();
    });
    expect(performed).toEqual([id]);
  });
});

import { describe, expect, it } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import { CHECKPOINTS, readCheckpoints } from '../../src/log/checkpoint.ts';
import type { EventLog, Subscribe } from '../../src/log/event-log.ts';
import type { DocumentStore } from '../../src/ports/documents.ts';
import type { Projections } from '../../src/projections/runner/projections.ts';
import { ALL, counter, created, openWorld, PATIENCE, sent, until, type World } from './node.ts';
import { faultyDocuments, objectId, time } from './support.ts';

const count = async (node: Projections, n: number, name = 'counter') =>
  (await node.readModels.get(`${name}/counts`, objectId(n)))?.body.count;

const storedCheckpoint = async ({ documents }: World, generation: string) => {
  const id = `projections/${generation}`;
  return (await readCheckpoints(documents, [id])).get(id);
};

const stateOf = async (node: Projections, name: string) => (await node.status()).find((status) => status.name === name);

/** The log, and the subscriptions that were made to it. */
function watched(log: EventLog) {
  const subscriptions: Subscribe[] = [];
  const watchedLog: EventLog = {
    ...log,
    readAll: () => Promise.reject(new Error('the log is followed, not read')),
    subscribe(options) {
      subscriptions.push(options);
      return log.subscribe(options);
    },
  };
  return { log: watchedLog, subscriptions };
}

describe('running projections', () => {
  it('builds all of them from the log, and follows it', async () => {
    const world = await openWorld();
    const past = await world.append(created(1, [1, 2]), sent(1, 1, 1));
    const node = world.node();
    expect(await node.readModels.waitFor(ALL, past, PATIENCE)).toBe(true);
    const live = await world.append(sent(1, 2, 2));
    expect(await node.readModels.waitFor(ALL, live, PATIENCE)).toBe(true);
    const conversation = await node.readModels.get('conversations/conversations', objectId(1));
    expect(conversation?.body.lastSeq).toBe(2);
    expect(await node.readModels.checkpoint('messages')).toBe(live);
    await until(async () => (await node.status()).every(({ state }) => state === 'live'), 'all are live');
    expect(await stateOf(node, 'messages')).toMatchObject({
      lag: 0,
      events: 2,
      checkpoint: live,
      generation: 1,
      parked: null,
    });
  });

  it('follows the log with one subscription for all that are up to date', async () => {
    const world = await openWorld();
    const { log, subscriptions } = watched(world.log);
    const node = world.node({ log });
    const position = await world.append(created(1, [1, 2]), sent(1, 1, 1));
    await node.readModels.waitFor(ALL, position, PATIENCE);
    expect(subscriptions).toHaveLength(1);
    expect(subscriptions[0]?.filter).toBeUndefined();
  });

  it('moves checkpoints past events that no projection handles, in memory and then in the store', async () => {
    const world = await openWorld();
    const node = world.node();
    const position = await world.append({
      type: 'ConversationDeleted',
      data: { conversationId: objectId(9), deletedAt: time(1) },
    });
    expect(await node.readModels.waitFor(ALL, position, PATIENCE)).toBe(true);
    await until(async () => (await storedCheckpoint(world, 'users.1'))?.position === position, 'it is stored');
  });

  it('continues from its checkpoint after a restart', async () => {
    const world = await openWorld();
    const first = world.node();
    await first.readModels.waitFor(ALL, await world.append(created(1, [1, 2]), sent(1, 1, 1)), PATIENCE);
    await first.close();
    const position = await world.append(sent(1, 2, 1));
    const second = world.node();
    expect(await second.readModels.waitFor(ALL, position, PATIENCE)).toBe(true);
    expect(await storedCheckpoint(world, 'messages.1')).toMatchObject({ events: 2, fence: 2 });
  });

  it('lets a new projection catch up separately while the others are live', async () => {
    const world = await openWorld();
    const early = counter({ name: 'early' });
    const first = world.node({ projections: [early] });
    const before = await world.append(created(1, [1]), ...Array.from({ length: 30 }, (_, i) => sent(1, i + 1, 1)));
    await first.readModels.waitFor(['early'], before, PATIENCE);
    await first.close();
    const { log, subscriptions } = watched(world.log);
    const node = world.node({ log, projections: [early, counter({ name: 'late' })] });
    const after = await world.append(sent(1, 31, 1));
    expect(await node.readModels.waitFor(['early', 'late'], after, PATIENCE)).toBe(true);
    expect(await count(node, 1, 'early')).toBe(31);
    expect(await count(node, 1, 'late')).toBe(31);
    // The lagging one follows with a subscription of its own, to its own types of events.
    expect(subscriptions.map(({ filter }) => filter)).toEqual(
      expect.arrayContaining([undefined, { types: ['MessageSent'] }]),
    );
    expect(subscriptions).toHaveLength(2);
    await until(async () => (await node.followers()).length === 1, 'it has joined the others');
  });

  it('folds a long history that is appended while it runs', async () => {
    const world = await openWorld();
    const node = world.node({ projections: [counter({})] });
    for (let i = 0; i < 30; i++) {
      await world.append(...Array.from({ length: 100 }, (_, k) => sent(k % 7, i * 100 + k + 1, 1)));
    }
    const head = await world.log.head();
    expect(await node.readModels.waitFor(['counter'], head!, PATIENCE)).toBe(true);
    const counts = await Promise.all([0, 1, 2, 3, 4, 5, 6].map((n) => count(node, n)));
    expect(counts.reduce((sum: number, each) => sum + Number(each), 0)).toBe(3_000);
  });
});

describe('an event that a projection cannot fold', () => {
  const picky = counter({
    name: 'picky',
    count(content, before) {
      if (content === 'poison') throw new TypeError('cannot count this');
      return before + 1;
    },
  });

  it('parks that projection at the event before it, and no other', async () => {
    const world = await openWorld();
    const node = world.node({ projections: [picky, counter({})] });
    const good = await world.append(sent(1, 1, 1));
    expect(await node.readModels.waitFor(['picky'], good, PATIENCE)).toBe(true);
    const poison = await world.append(sent(1, 2, 1, 'poison'));
    const last = await world.append(sent(1, 3, 1), sent(2, 1, 1));
    expect(await node.readModels.waitFor(['counter'], last, PATIENCE)).toBe(true);
    expect(await count(node, 1)).toBe(3);
    await until(async () => (await stateOf(node, 'picky'))?.state === 'parked', 'it is parked');
    expect(await stateOf(node, 'picky')).toMatchObject({
      checkpoint: good,
      parked: { position: poison, type: 'MessageSent', message: 'cannot count this' },
    });
    expect(await count(node, 1, 'picky')).toBe(1);
    await until(async () => (await stateOf(node, 'counter'))?.state === 'live', 'the other is live');
    expect(await storedCheckpoint(world, 'picky.1')).toMatchObject({ position: good, parked: { position: poison } });
  });

  it('is not waited for', async () => {
    const world = await openWorld();
    const node = world.node({ projections: [picky] });
    const position = await world.append(sent(1, 1, 1, 'poison'));
    // Whether it is parked before or during the wait, the answer comes long before the time-out.
    expect(await node.readModels.waitFor(['picky'], position, 1e9)).toBe(false);
    expect(await node.readModels.waitFor(['picky'], position, 1e9)).toBe(false);
  });

  it('is tried again after a restart, with code that can fold it', async () => {
    const world = await openWorld();
    const first = world.node({ projections: [picky] });
    const position = await world.append(sent(1, 1, 1), sent(1, 2, 1, 'poison'), sent(1, 3, 1));
    await first.readModels.waitFor(['picky'], position, PATIENCE);
    await first.close();
    const node = world.node({ projections: [counter({ name: 'picky' })] });
    expect(await node.readModels.waitFor(['picky'], position, PATIENCE)).toBe(true);
    expect(await count(node, 1, 'picky')).toBe(3);
  });

  it('is found among others when the store refuses the document', async () => {
    const world = await openWorld();
    const refused = counter({ name: 'refused', count: (content) => (content === 'bad' ? '\ud800' : content) });
    const node = world.node({ projections: [refused, counter({})] });
    const list = Array.from({ length: 20 }, (_, i) => sent(i % 3, i + 1, 1, i === 17 ? 'bad' : `m${i}`));
    const last = await world.append(...list);
    expect(await node.readModels.waitFor(['counter'], last, PATIENCE)).toBe(true);
    await until(async () => (await stateOf(node, 'refused'))?.state === 'parked', 'it is parked');
    const { events } = await world.log.readAll({ direction: 'forwards', from: null });
    const bad = events.findIndex(({ data }) => data.content === 'bad');
    expect(await stateOf(node, 'refused')).toMatchObject({
      checkpoint: events[bad - 1]!.position,
      parked: { position: events[bad]!.position },
    });
  });
});

describe('an unavailable store', () => {
  it('is reported, and everything continues by itself when it is back', async () => {
    const world = await openWorld();
    let isAway = false;
    const documents = faultyDocuments(world.documents, ({ last }) =>
      isAway && last?.collection === CHECKPOINTS.name ? 'away' : 'none',
    );
    const node = world.node({ documents, projections: [counter({})] });
    await node.readModels.waitFor(['counter'], await world.append(sent(1, 1, 1)), PATIENCE);
    isAway = true;
    const position = await world.append(sent(1, 2, 1));
    await until(async () => (await stateOf(node, 'counter'))?.state === 'unavailable', 'it is reported');
    expect((await stateOf(node, 'counter'))?.unavailable).toBe('unavailable, as the test wants it');
    isAway = false;
    expect(await node.readModels.waitFor(['counter'], position, PATIENCE)).toBe(true);
    expect(await count(node, 1)).toBe(2);
    await until(async () => (await stateOf(node, 'counter'))?.state === 'live', 'it is live again');
    expect(await stateOf(node, 'counter')).toMatchObject({ unavailable: null, lag: 0 });
  });

  it('does not keep a node from starting, whichever it is', async () => {
    const world = await openWorld();
    let isAway = true;
    const away = () => Promise.reject(new StoreError('UNAVAILABLE', 'away'));
    const documents: DocumentStore = {
      ...faultyDocuments(world.documents, () => (isAway ? 'away' : 'none')),
      define: (collections) => (isAway ? away() : world.documents.define(collections)),
    };
    const log: EventLog = {
      ...world.log,
      idAt: (position) => (isAway ? away() : world.log.idAt(position)),
      subscribe(options) {
        if (isAway) throw new StoreError('UNAVAILABLE', 'away');
        return world.log.subscribe(options);
      },
    };
    const node = world.node({ documents, log, projections: [counter({})] });
    const position = await world.append(sent(1, 1, 1));
    expect((await stateOf(node, 'counter'))?.state).toBe('unavailable');
    isAway = false;
    expect(await node.readModels.waitFor(['counter'], position, PATIENCE)).toBe(true);
  });

  it('ends the projections when it was closed', async () => {
    const world = await openWorld();
    const node = world.node({ projections: [counter({})] });
    await node.readModels.waitFor(['counter'], await world.append(sent(1, 1, 1)), PATIENCE);
    await world.log.close();
    await until(async () => (await stateOf(node, 'counter'))?.state === 'unavailable', 'it is reported');
    await expect(node.close()).resolves.toBeUndefined();
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EventStore } from '../../src/ports/event-store.ts';
import { newCategory, newEvent, newStream, note, notes } from '../contracts/events.ts';
import { follow, readToEnd, untilCaughtUp } from '../contracts/following.ts';
import type { EventStoreDbServer } from '../support/eventstoredb-server/server.ts';
import { foreign, type OnServer, open, openOnServer } from './eventstoredb.ts';

let opened: OnServer;
let server: EventStoreDbServer;
let store: EventStore;

beforeAll(async () => {
  opened = await openOnServer();
  ({ server, store } = opened);
});
afterAll(() => opened.dispose());

/** Events of other programs, some of them nearly like Parley's. */
const others = () => [
  foreign('NoteTaken', '{"text":"no metadata"}'),
  foreign('NoteTaken', '{"text":"metadata of another form"}', '{"$correlationId":"x","userId":7}'),
  foreign('NoteTaken', '{"text":"a mark of another form"}', '{"$correlationId":"x","parley":{"version":"1.2"}}'),
  foreign('NoteTaken', '{"text":"a mark that is none"}', '{"$correlationId":"x","parley":true}'),
  foreign('NoteTaken', '{"text":"metadata that is no object"}', '["parley"]'),
  foreign('NoteTaken', '{"text":"metadata that is no JSON"}', '{"parley"'),
  foreign('Bytes', '\u0000\u0001', '\u0002', false),
  foreign('NoteTaken', '"data that is no object"'),
];

describe('events of other programs in the same database', () => {
  it('are shown nowhere', async () => {
    const [stream, elsewhere] = [newStream(), newStream()];
    const before = await store.head();
    await store.append(stream, [note('a')], { expect: 'none' });
    server.log.append(stream, 'any', others());
    server.log.append(elsewhere, 'any', others());
    const { revision } = await store.append(stream, [note('b')], { expect: BigInt(others().length) });
    server.log.append(elsewhere, 'any', others());

    expect(revision).toBe(BigInt(others().length + 1));
    expect((await store.readStream(stream)).events.map((event) => event.data.text)).toEqual(['a', 'b']);
    expect(await store.readStream(elsewhere)).toEqual({ events: [], end: true });
    const forwards = await readToEnd(store, { direction: 'forwards', from: before });
    expect(forwards.events.map((event) => event.data.text)).toEqual(['a', 'b']);
    const { events } = await follow(store, { after: before }, untilCaughtUp);
    expect(events).toEqual(forwards.events);
  });

  it('are no head of the log', async () => {
    const { position } = await store.append(newStream(), [note('a')], { expect: 'none' });
    for (let n = 0; n < 3; n++) server.log.append('other-1', 'any', others());
    const [fresh, busy] = [await open(server.url), store];
    expect(await Promise.all([fresh.head(), busy.head()])).toEqual([position, position]);
    await fresh.close();
  });

  it('fill no page: a slice has something, or it is the last', async () => {
    const stream = newStream();
    server.log.append(
      stream,
      'any',
      Array.from({ length: 50 }, () => foreign('Else', '{}')),
    );
    await store.append(stream, [note('a')], { expect: 49n });
    server.log.append(
      stream,
      'any',
      Array.from({ length: 50 }, () => foreign('Else', '{}')),
    );
    const first = await store.readStream(stream, { limit: 10 });
    expect(first.events.map((event) => Number(event.revision))).toEqual([50]);
    expect(await store.readStream(stream, { from: 51n, limit: 10 })).toEqual({ events: [], end: true });
    const back = await store.readStream(stream, { direction: 'backwards', limit: 10 });
    expect(back.events).toEqual(first.events);
  });

  it('a long run of them ends no read of the whole log, and holds none up', async () => {
    const before = await store.head();
    server.log.append(
      'other-2',
      'any',
      Array.from({ length: 20_000 }, () => foreign('Else', '{}')),
    );
    const { position } = await store.append(newStream(), [note('behind it')], { expect: 'none' });
    const first = await store.readAll({ direction: 'forwards', from: before });
    expect({ count: first.events.length, end: first.end }).toEqual({ count: 0, end: false });
    const { events } = await readToEnd(store, { direction: 'forwards', from: before });
    expect(events.map((event) => event.position)).toEqual([position]);
  });
});

describe('what Parley writes into the database', () => {
  it('is JSON, with a mark, under names that the server knows', async () => {
    const stream = newStream();
    const causationId = '00000000-0000-4000-8000-000000000001';
    const events = [
      note('a'),
      newEvent('NoteTaken', { text: 'b' }, { actor: '0123456789abcdef01234567', causationId }),
    ];
    await store.append(stream, events, { expect: 'none' });
    const stored = server.log.of(stream);
    expect(stored.map(({ type, isJson }) => ({ type, isJson }))).toEqual(
      Array(2).fill({ type: 'NoteTaken', isJson: true }),
    );
    expect(stored.map(({ data }) => JSON.parse(Buffer.from(data).toString()))).toEqual([{ text: 'a' }, { text: 'b' }]);
    expect(stored.map(({ metadata }) => JSON.parse(Buffer.from(metadata).toString()))).toEqual(
      events.map(({ id, metadata: { actor, correlationId, causationId: cause, commandId } }) => ({
        $correlationId: correlationId,
        ...(cause !== null && { $causationId: cause }),
        parley: { id, schemaVersion: 1, actor, commandId },
      })),
    );
  });

  it('never has an id twice there, so that no answer rests on what the server remembers', async () => {
    const stream = newStream();
    const events = [note('a')];
    await store.append(stream, events, { expect: 'none' });
    for (const expect_ of ['none', 3n] as const) {
      await expect(store.append(stream, events, { expect: expect_ })).rejects.toMatchObject({
        code: 'VERSION_CONFLICT',
      });
    }
    await store.append(stream, events, { expect: 0n });
    await store.append(stream, events, { expect: 'any' });
    expect((await store.readStream(stream)).events.map(({ id }) => id)).toEqual(Array(3).fill(events[0]?.id));
    expect(new Set(server.log.of(stream).map(({ id }) => id)).size).toBe(3);
  });

  it('an id of the log, the same for all nodes that come at once, and shown nowhere', async () => {
    const fresh = await openOnServer();
    const nodes = await Promise.all([1, 2, 3].map(() => open(fresh.server.url)));
    const epochs = await Promise.all(nodes.map((node) => node.epoch()));
    expect(new Set(epochs).size).toBe(1);
    expect(epochs[0]).not.toBe(await store.epoch());
    expect(await fresh.store.head()).toBeNull();
    expect((await readToEnd(fresh.store, { direction: 'forwards', from: null })).events).toEqual([]);
    expect(await fresh.store.readStream('parley-log')).toEqual({ events: [], end: true });
    await Promise.all(nodes.map((node) => node.close()));
    await fresh.dispose();
  });

  it('no rights that were given to a stream are lost with its retention', async () => {
    const stream = newStream();
    const acl = { $acl: { $r: ['ops'] }, $maxAge: 60, $cacheControl: 10 };
    server.log.append(`$$${stream}`, 'any', [foreign('$metadata', JSON.stringify(acl))]);
    await store.setRetention(stream, { maxCount: 3, truncateBefore: 2n });
    const written = JSON.parse(Buffer.from(server.log.of(`$$${stream}`).at(-1)?.data ?? []).toString());
    expect(written).toEqual({ $acl: { $r: ['ops'] }, $cacheControl: 10, $maxCount: 3, $tb: 2 });
  });
});

describe('a stream exists', () => {
  it('with its first event, not with its metadata', async () => {
    const stream = newStream();
    await store.setRetention(stream, { maxCount: 5 });
    await expect(store.append(stream, [note('a')], { expect: 'exists' })).rejects.toMatchObject({
      code: 'VERSION_CONFLICT',
      actual: null,
    });
    await store.append(stream, [note('a')], { expect: 'none' });
    expect(await store.append(stream, [note('b')], { expect: 'exists' })).toMatchObject({ revision: 1n });
  });

  it('also when it shows no event any more', async () => {
    const stream = newStream();
    await store.append(stream, notes(2), { expect: 'none' });
    await store.setRetention(stream, { truncateBefore: 2n });
    expect(await store.append(stream, [note('c')], { expect: 'exists' })).toMatchObject({ revision: 2n });
  });
});

describe('streams that were deleted in the database', () => {
  it('read as empty, for good or not', async () => {
    const [deleted, tombstoned] = [newStream(), newStream()];
    for (const stream of [deleted, tombstoned]) await store.append(stream, notes(3), { expect: 'none' });
    server.log.delete(deleted, 'any', false);
    server.log.delete(tombstoned, 'any', true);
    for (const stream of [deleted, tombstoned]) {
      expect(await store.readStream(stream)).toEqual({ events: [], end: true });
      expect(await store.readStream(stream, { direction: 'backwards' })).toEqual({ events: [], end: true });
    }
  });

  it('may be written again when they were not deleted for good, with revisions that go on', async () => {
    const stream = newStream();
    await store.append(stream, notes(3), { expect: 'none' });
    server.log.delete(stream, 'any', false);
    expect(await store.append(stream, [note('again')], { expect: 'none' })).toMatchObject({ revision: 3n });
    expect((await store.readStream(stream)).events.map((event) => event.data.text)).toEqual(['again']);
  });
});

it('a stream of 20,000 events reads in slices of any size, to the same end', { timeout: 60_000 }, async () => {
  const category = newCategory();
  const stream = newStream(category);
  for (let n = 0; n < 5; n++)
    await store.append(stream, notes(4_000, `part ${n}`), {
      expect: BigInt(n * 4_000 - 1) < 0n ? 'none' : BigInt(n * 4_000 - 1),
    });
  let [next, slices] = [0, 0];
  for (let end = false; !end; slices++) {
    const slice = await store.readStream(stream, { from: BigInt(next), limit: 4_096 });
    for (const event of slice.events) if (Number(event.revision) !== next++) throw new Error(`gap at ${next}`);
    ({ end } = slice);
  }
  expect({ next, slices }).toEqual({ next: 20_000, slices: 5 });
});

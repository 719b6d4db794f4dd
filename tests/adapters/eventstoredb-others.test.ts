import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EventStore } from '../../src/ports/event-store.ts';
import { newRecord, newStream, note, notes, textsOf } from '../contracts/events.ts';
import { follow, readAll, readStream, readToEnd, untilCaughtUp } from '../contracts/following.ts';
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

/** Events of other programs, some of them similar to Parley's. */
const others = () => [
  foreign('NoteTaken', '{"text":"no metadata"}'),
  foreign('NoteTaken', '{"text":"other metadata"}', '{"$correlationId":"x","userId":7}'),
  foreign('NoteTaken', '{"text":"another mark"}', '{"$correlationId":"x","parley":{"version":"1.2"}}'),
  foreign('NoteTaken', '{"text":"a mark that is not an object"}', '{"$correlationId":"x","parley":true}'),
  foreign('NoteTaken', '{"text":"metadata that is not an object"}', '["parley"]'),
  foreign('NoteTaken', '{"text":"metadata that is not JSON"}', '{"parley"'),
  { ...foreign('Bytes', '\u0000\u0001', '\u0002'), isJson: false },
  foreign('NoteTaken', '"data that is not an object"'),
];

describe('events of other programs in the same database', () => {
  it('are never returned', async () => {
    const [stream, elsewhere] = [newStream(), newStream()];
    const before = await store.head();
    await store.append(stream, [note('a')], { expect: 'none' });
    server.log.append(stream, 'any', others());
    server.log.append(elsewhere, 'any', others());
    const { revision } = await store.append(stream, [note('b')], { expect: BigInt(others().length) });
    server.log.append(elsewhere, 'any', others());

    expect(revision).toBe(BigInt(others().length + 1));
    expect(textsOf((await readStream(store, stream)).records)).toEqual(['a', 'b']);
    expect(await readStream(store, elsewhere)).toEqual({ records: [], end: true });
    const forwards = await readToEnd(store, { from: before });
    expect(textsOf(forwards.records)).toEqual(['a', 'b']);
    const { records } = await follow(store, { after: before }, untilCaughtUp);
    expect(records).toEqual(forwards.records);
  });

  it('are not the head of the log', async () => {
    const { position } = await store.append(newStream(), [note('a')], { expect: 'none' });
    for (let n = 0; n < 3; n++) server.log.append('other-1', 'any', others());
    const [fresh, busy] = [await open(server.url), store];
    expect(await Promise.all([fresh.head(), busy.head()])).toEqual([position, position]);
    await fresh.close();
  });

  it('do not make the head of the log dearer, however many they are', async () => {
    const { position } = await store.append(newStream(), [note('a')], { expect: 'none' });
    const fresh = await open(server.url);
    for (const type of ['Else', '$statistics']) {
      server.log.append(
        `other-${type}`,
        'any',
        Array.from({ length: 20_000 }, () => foreign(type, '{}')),
      );
      for (const node of [fresh, store]) {
        const sent = server.eventsSent;
        const head = await node.head();
        expect(server.eventsSent - sent).toBeLessThan(100);
        // A position that this log has, and after which there is no record of Parley's.
        expect(head !== null && head > position).toBe(true);
        expect((await readToEnd(node, { from: head })).records).toEqual([]);
      }
    }
    const last = await store.append(newStream(), [note('b')], { expect: 'none' });
    expect(await Promise.all([fresh.head(), store.head()])).toEqual([last.position, last.position]);
    await fresh.close();
  });

  it('do not fill a page: a slice has records, or it is the last one', async () => {
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
    const first = await readStream(store, stream, { limit: 10 });
    expect(first.records.map((record) => Number(record.revision))).toEqual([50]);
    expect(await readStream(store, stream, { from: 51n, limit: 10 })).toEqual({ records: [], end: true });
    const back = await readStream(store, stream, { direction: 'backwards', limit: 10 });
    expect(back.records).toEqual(first.records);
  });

  it('neither end nor prolong a read of the whole log, even in large numbers', { timeout: 60_000 }, async () => {
    const before = await store.head();
    server.log.append(
      'other-2',
      'any',
      Array.from({ length: 20_000 }, () => foreign('Else', '{}')),
    );
    const { position } = await store.append(newStream(), [note('after them')], { expect: 'none' });
    const first = await readAll(store, { from: before });
    expect({ count: first.records.length, end: first.end }).toEqual({ count: 0, end: false });
    const { records } = await readToEnd(store, { from: before });
    expect(records.map((record) => record.position)).toEqual([position]);
  });
});

describe('what Parley writes into the database', () => {
  it('is JSON, with a mark, and with the field names of the server', async () => {
    const stream = newStream();
    const causationId = '00000000-0000-4000-8000-000000000001';
    const records = [
      note('a'),
      newRecord('NoteTaken', { text: 'b' }, { actor: '0123456789abcdef01234567', causationId }),
      { ...note('c'), schemaVersion: 7 },
    ];
    await store.append(stream, records, { expect: 'none' });
    const stored = server.log.of(stream);
    expect(stored.map(({ type, isJson }) => ({ type, isJson }))).toEqual(
      Array(3).fill({ type: 'NoteTaken', isJson: true }),
    );
    expect(stored.map(({ data }) => Buffer.from(data).toString())).toEqual(records.map(({ data }) => data));
    expect(stored.map(({ metadata }) => JSON.parse(Buffer.from(metadata).toString()))).toEqual(
      records.map(({ id, schemaVersion, metadata: { actor, correlationId, causationId: cause, commandId } }) => ({
        $correlationId: correlationId,
        ...(cause !== null && { $causationId: cause }),
        parley: { id, schemaVersion, actor, commandId },
      })),
    );
  });

  it('comes back byte for byte, whatever the form of its JSON', async () => {
    const stream = newStream();
    const forms = [
      '{"text":"Grüße, 你好, 👩‍👩‍👧‍👦, \\u00e4, \\ud83d, \\u0000 and \u2028"}',
      '{ "b" : 1.0, "a":1e2,\n"a":  -0, "big": 12345678901234567890 }',
      ' \t\r\n{"__proto__":{"x":1}}\n ',
      '{}',
    ];
    const records = forms.map((data) => ({ ...note(''), data }));
    await store.append(stream, records, { expect: 'none' });
    const read = (await readStream(store, stream)).records;
    expect(read.map(({ data }) => data)).toEqual(forms);
    expect(server.log.of(stream).map(({ data }) => Buffer.from(data).toString())).toEqual(forms);
  });

  it('has a new id in the database at every attempt, so that no response depends on ids known to the server', async () => {
    const stream = newStream();
    const records = [note('a')];
    await store.append(stream, records, { expect: 'none' });
    for (const expected of ['none', 3n] as const) {
      await expect(store.append(stream, records, { expect: expected })).rejects.toMatchObject({
        code: 'VERSION_CONFLICT',
      });
    }
    await store.append(stream, records, { expect: 0n });
    await store.append(stream, records, { expect: 'any' });
    expect((await readStream(store, stream)).records.map(({ id }) => id)).toEqual(Array(3).fill(records[0]?.id));
    expect(new Set(server.log.of(stream).map(({ id }) => id)).size).toBe(3);
  });

  it('includes an id of the log, the same for concurrent nodes, in a record that is never returned', async () => {
    const fresh = await openOnServer();
    const nodes = await Promise.all([1, 2, 3].map(() => open(fresh.server.url)));
    const epochs = await Promise.all(nodes.map((node) => node.epoch()));
    expect(new Set(epochs).size).toBe(1);
    expect(epochs[0]).not.toBe(await store.epoch());
    expect(await fresh.store.head()).toBeNull();
    expect((await readToEnd(fresh.store)).records).toEqual([]);
    expect(await readStream(fresh.store, 'parley-log')).toEqual({ records: [], end: true });
    await Promise.all(nodes.map((node) => node.close()));
    await fresh.dispose();
  });

  it('keeps the access rights of a stream when it sets a retention', async () => {
    const stream = newStream();
    const acl = { $acl: { $r: ['ops'] }, $maxAge: 60, $cacheControl: 10 };
    server.log.append(`$$${stream}`, 'any', [foreign('$metadata', JSON.stringify(acl))]);
    await store.setRetention(stream, { maxCount: 3, truncateBefore: 2n });
    const written = JSON.parse(Buffer.from(server.log.of(`$$${stream}`).at(-1)?.data ?? []).toString());
    expect(written).toEqual({ $acl: { $r: ['ops'] }, $cacheControl: 10, $maxCount: 3, $tb: 2 });
  });
});

describe('`idAt`', () => {
  it('returns the id of the record at exactly this position, and null where there is none', async () => {
    const stream = newStream();
    const records = notes(3);
    await store.append(stream, records, { expect: 'none' });
    const read = (await readStream(store, stream)).records;
    const ids = await Promise.all(read.map(({ position }) => store.idAt(position)));
    expect(ids).toEqual(records.map(({ id }) => id));
    const commit = read[1]?.position.slice(0, 20);
    expect(await store.idAt(`${commit}-${'0'.repeat(20)}`)).toBeNull();
    const end = String(server.log.end).padStart(20, '0');
    expect(await store.idAt(`${end}-${end}`)).toBeNull();
  });

  it('returns null for records that are not of Parley', async () => {
    const stream = newStream();
    await store.epoch();
    server.log.append(stream, 'any', others());
    const [parleyLog, ...rest] = [...server.log.of('parley-log'), ...server.log.of(stream), ...server.log.of('$users')];
    expect(parleyLog).toBeDefined();
    for (const record of [parleyLog, ...rest]) {
      const [commit, prepare] = [record?.commit, record?.prepare].map((offset) => String(offset).padStart(20, '0'));
      expect(await store.idAt(`${commit}-${prepare}`)).toBeNull();
    }
  });

  it('returns null for a position at which no record begins, and throws INVALID for a position of another store', async () => {
    expect(await store.idAt(`${'7'.padStart(20, '0')}-${'7'.padStart(20, '0')}`)).toBeNull();
    await expect(store.idAt('7')).rejects.toMatchObject({ code: 'INVALID' });
  });
});

it('`countAfter` is always null, because positions are byte offsets', async () => {
  const { position } = await store.append(newStream(), [note('a')], { expect: 'none' });
  expect([await store.countAfter(null), await store.countAfter(position)]).toEqual([null, null]);
});

describe('a stream exists', () => {
  it('once it has an event, not when it only has metadata', async () => {
    const stream = newStream();
    await store.setRetention(stream, { maxCount: 5 });
    await expect(store.append(stream, [note('a')], { expect: 'exists' })).rejects.toMatchObject({
      code: 'VERSION_CONFLICT',
      actual: null,
    });
    await store.append(stream, [note('a')], { expect: 'none' });
    expect(await store.append(stream, [note('b')], { expect: 'exists' })).toMatchObject({ revision: 1n });
  });

  it('even when none of its events are visible any more', async () => {
    const stream = newStream();
    await store.append(stream, notes(2), { expect: 'none' });
    await store.setRetention(stream, { truncateBefore: 2n });
    expect(await store.append(stream, [note('c')], { expect: 'exists' })).toMatchObject({ revision: 2n });
  });
});

describe('streams that were deleted in the database', () => {
  it('read as empty, whether permanently deleted or not', async () => {
    const [deleted, tombstoned] = [newStream(), newStream()];
    for (const stream of [deleted, tombstoned]) await store.append(stream, notes(3), { expect: 'none' });
    server.log.delete(deleted, 'any', { permanent: false });
    server.log.delete(tombstoned, 'any', { permanent: true });
    for (const stream of [deleted, tombstoned]) {
      expect(await readStream(store, stream)).toEqual({ records: [], end: true });
      expect(await readStream(store, stream, { direction: 'backwards' })).toEqual({ records: [], end: true });
    }
  });

  it('can be written again, with continuing revisions, unless permanently deleted', async () => {
    const stream = newStream();
    await store.append(stream, notes(3), { expect: 'none' });
    server.log.delete(stream, 'any', { permanent: false });
    expect(await store.append(stream, [note('again')], { expect: 'none' })).toMatchObject({ revision: 3n });
    expect(textsOf((await readStream(store, stream)).records)).toEqual(['again']);
  });
});

it('a stream of 20,000 records can be read in slices of 4,096', { timeout: 60_000 }, async () => {
  const stream = newStream();
  for (let n = 0; n < 5; n++) {
    await store.append(stream, notes(4_000, `part ${n}`), { expect: n === 0 ? 'none' : BigInt(n * 4_000 - 1) });
  }
  let [next, slices] = [0, 0];
  for (let end = false; !end; slices++) {
    const slice = await readStream(store, stream, { from: BigInt(next), limit: 4_096 });
    for (const record of slice.records) if (Number(record.revision) !== next++) throw new Error(`gap at ${next}`);
    ({ end } = slice);
  }
  expect({ next, slices }).toEqual({ next: 20_000, slices: 5 });
});

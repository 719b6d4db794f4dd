import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { isStoreError } from '../../src/kernel/errors.ts';
import type { Position } from '../../src/kernel/position.ts';
import type { EventStore } from '../../src/ports/event-store.ts';
import { newStream, note, notes, textsOf } from '../contracts/events.ts';
import { follow, readAll, readSome, readStream, readToEnd, until, untilCaughtUp } from '../contracts/following.ts';
import type { LogRecord } from '../support/eventstoredb-server/log.ts';
import type { EventStoreDbServer } from '../support/eventstoredb-server/server.ts';
import { startEventStoreDbServer } from '../support/eventstoredb-server/server.ts';
import { startFrameCounter } from '../support/frame-counter.ts';
import { foreign, type OnServer, open, openOnServer } from './eventstoredb.ts';

let opened: OnServer;
let server: EventStoreDbServer;
let store: EventStore;

/** Types of frames in HTTP/2. */
const HEADERS = 1;
const RST_STREAM = 3;

const positionAt = (offset: number): Position => [offset, offset].map((n) => String(n).padStart(20, '0')).join('-');
function unlessConflict(error: unknown): void {
  if (!isStoreError(error, 'VERSION_CONFLICT')) throw error;
}
const invalid = { name: 'StoreError', code: 'INVALID' };

describe.each(['EventStoreDB', 'KurrentDB'] as const)('positions on %s', (product) => {
  beforeEach(async () => {
    opened = await openOnServer({ product });
    ({ server, store } = opened);
  });
  afterEach(() => opened.dispose());

  describe('that the log does not have', () => {
    const offsets: Record<string, (record: LogRecord) => number> = {
      'between two records': ({ commit }) => commit + 1,
      'in the first record of the log': () => 7,
      'in the last record': () => server.log.end - 1,
      'after the end': () => server.log.end + 1,
      'far after the end': () => server.log.end * 1_000,
    };
    const calls: Record<string, (position: Position) => Promise<unknown>> = {
      'reads forwards': (from) => readAll(store, { from }),
      'reads backwards': (from) => readAll(store, { from, direction: 'backwards' }),
      'filtered reads': (from) => readAll(store, { from, filter: { types: ['NoteTaken'] } }),
      subscriptions: (after) => follow(store, { after }, () => false),
      'filtered subscriptions': (after) => follow(store, { after, filter: { types: ['NoteTaken'] } }, () => false),
    };

    it.each(Object.keys(offsets))(
      'are invalid %s, for every call, and cost others neither their connection nor a call in progress',
      async (where) => {
        const stream = newStream();
        await store.append(stream, notes(3), { expect: 'none' });
        const other = follow(store, {}, until(4));
        const release = server.faults.holdAppends();
        const held = store.append(stream, [note('held')], { expect: 2n });
        await vi.waitFor(() => expect(server.heldAppends).toBe(1));
        const unknown = positionAt(offsets[where]!(server.log.of(stream)[1]!));
        for (const call of Object.values(calls)) await expect(call(unknown)).rejects.toMatchObject(invalid);
        expect(await store.idAt(unknown)).toBeNull();
        release();
        expect(await held).toMatchObject({ revision: 3n });
        expect(textsOf((await other).records)).toEqual(['note 0', 'note 1', 'note 2', 'held']);
        expect(server.connections).toBe(1);
        await vi.waitFor(() => expect(server.openReads).toBe(0));
      },
    );

    it('end a subscription whose log was replaced by a shorter one', async () => {
      await store.append(newStream(), notes(3, 'x'.repeat(1_000)), { expect: 'none' });
      let replaced: Promise<EventStoreDbServer> | undefined;
      const following = follow(store, {}, (seen) => {
        if (untilCaughtUp(seen))
          replaced ??= server.stop().then(() => startEventStoreDbServer({ port: server.port, product }));
        return false;
      });
      await expect(following).rejects.toMatchObject(invalid);
      await (await replaced)?.close();
    });
  });

  describe('that the log has', () => {
    it('are read after an error of the server that passes, over the same connection', async () => {
      const { position } = await store.append(newStream(), notes(2), { expect: 'none' });
      await store.append(newStream(), [note('next')], { expect: 'none' });
      server.faults.reads.push('error');
      expect(textsOf((await readAll(store, { from: position })).records)).toEqual(['next']);
      server.faults.reads.push('error');
      expect(textsOf((await follow(store, { after: position }, until(1))).records)).toEqual(['next']);
      server.faults.reads.push('error');
      expect(await store.idAt(position)).not.toBeNull();
      expect(server.connections).toBe(1);
    });

    it('are not called invalid by a server that fails to read at all', async () => {
      const { position } = await store.append(newStream(), notes(2), { expect: 'none' });
      server.faults.reads.push('error', 'error');
      await expect(readAll(store, { from: position })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      server.faults.reads.push('error', 'unavailable');
      await expect(store.idAt(position)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    });
  });

  describe('whose record is gone, while more records go between any two calls', () => {
    /** Streams that lose their first record one after the other, the one of the position first. */
    async function written() {
      const streams = ['a', 'b', 'c', 'position', 'kept', 'kept'].map((name) => newStream(name));
      for (const text of ['first', 'second']) {
        for (const stream of streams) await store.append(stream, [note(`${text} ${stream}`)], { expect: 'any' });
      }
      const { records } = await readToEnd(store);
      const after = records.find(({ stream }) => stream === streams[3])!.position;
      /** Truncates a stream, and scavenges. */
      const scavenge = (stream: string) => {
        server.log.append(`$$${stream}`, 'any', [foreign('$metadata', '{"$tb":1}')]);
        expect(server.log.scavenge()).toBe(1);
      };
      scavenge(streams[3]!);
      const left = records.filter(({ position }) => position > after);
      expect(left[0]?.stream).toBe(streams[4]);
      // The last record before the position goes first, then the one before it.
      const goes = [streams[2]!, streams[1]!, streams[0]!].map((stream) => () => scavenge(stream));
      return { after, left, goes };
    }

    it.each([0, 1, 2, 3, 4])('a subscription misses nothing when they go before its call %i', async (calls) => {
      const { after, left, goes } = await written();
      server.faults.beforeReads.push(...Array.from({ length: calls }, () => () => {}), ...goes);
      const { records, batches } = await follow(store, { after }, untilCaughtUp);
      expect(records).toEqual(left);
      const positions = batches.map(({ position }) => position!);
      expect(positions).toEqual(positions.toSorted());
      expect(positions.every((position) => position >= after)).toBe(true);
    });

    it('nor when the same happens at each second or third call, nor with a filter', async () => {
      for (const pauses of [1, 2]) {
        const { after, left, goes } = await written();
        const calls = goes.flatMap((go) => [...Array.from({ length: pauses }, () => () => {}), go]);
        server.faults.beforeReads.push(...calls);
        const { records } = await follow(store, { after, filter: { types: ['NoteTaken'] } }, untilCaughtUp);
        expect(records).toEqual(left);
      }
    });

    it('nor does a reader that reads page by page', async () => {
      const { after, left, goes } = await written();
      server.faults.beforeReads.push(...goes);
      expect((await readToEnd(store, { from: after, limit: 1 })).records).toEqual(left);
    });

    it('nor does a follower that is live, or was interrupted', async () => {
      const { left, goes } = await written();
      const after = left.at(-1)!.position;
      let work: Promise<unknown> | undefined;
      const disturb = async () => {
        for (const go of goes) {
          go();
          const stream = newStream('kept');
          // An append whose answer was lost conflicts with itself.
          const append = () => store.append(stream, [note('live')], { expect: 'none' }).catch(unlessConflict);
          await vi.waitFor(append, { timeout: 10_000, interval: 20 });
          server.cut();
        }
      };
      const { records } = await follow(store, { after }, (seen) => {
        if (untilCaughtUp(seen)) work ??= disturb();
        return seen.records.length >= 3;
      });
      await work;
      expect(textsOf(records)).toEqual(['live', 'live', 'live']);
    });
  });
});

describe('reads in small slices', () => {
  beforeEach(async () => {
    opened = await openOnServer();
    ({ server, store } = opened);
  });
  afterEach(() => opened.dispose());

  it('take few calls to get past the records of others', async () => {
    server.log.append(
      'other-1',
      'any',
      Array.from({ length: 1_500 }, () => foreign('Else', '{}')),
    );
    await store.append(newStream(), [note('a')], { expect: 'none' });
    let calls = 0;
    server.faults.beforeReads.push(...Array.from({ length: 1_500 }, () => () => void calls++));
    expect(textsOf(await readSome(store, 1))).toEqual(['a']);
    expect(calls).toBeLessThanOrEqual(12);
  });

  it('do not cancel calls: servers close connections on which many are', async () => {
    const stream = newStream();
    await store.append(stream, notes(30), { expect: 'none' });
    const counter = await startFrameCounter(server.port);
    const counted = await open(`esdb://127.0.0.1:${counter.port}?tls=false`);
    const { records } = await readStream(counted, stream);
    for (const { position, revision } of records.slice(0, 20)) {
      expect(await readStream(counted, stream, { from: revision, limit: 1 })).toMatchObject({ end: false });
      expect(await readAll(counted, { from: position, limit: 1 })).toMatchObject({ end: false });
    }
    expect(counter.sent(HEADERS)).toBeGreaterThan(40);
    expect(counter.sent(RST_STREAM)).toBe(0);
    await counted.close();
    await counter.close();
  });
});

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StoreError } from '../../src/kernel/errors.ts';
import type { EventStore, StoredRecord } from '../../src/ports/event-store.ts';
import { dataOf, newRecord, newStream } from '../contracts/events.ts';
import { DEADLINE_MS, follow } from '../contracts/following.ts';
import type { EventStoreDbServer } from '../support/eventstoredb-server/server.ts';
import { type OnServer, openOnServer } from './eventstoredb.ts';

let opened: OnServer;
let server: EventStoreDbServer;
let store: EventStore;

beforeEach(async () => {
  opened = await openOnServer();
  ({ server, store } = opened);
});
afterEach(() => opened.dispose());

const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, n) => n + from);
const numbersOf = (records: readonly StoredRecord[]) => records.map((record) => dataOf(record).n);

/** Appends the next `count` numbers to a stream that has `from` of them; retries while the server is down. */
async function draw(stream: string, from: number, count: number): Promise<void> {
  const drawn = numbers(count, from).map((n) => newRecord('NumberDrawn', { n }));
  const expected = from === 0 ? 'none' : BigInt(from - 1);
  await vi.waitFor(() => store.append(stream, drawn, { expect: expected }), { timeout: DEADLINE_MS, interval: 20 });
}

describe('a subscription that reconnects', () => {
  it('calls `reconnected` before it continues, and not at its start', async () => {
    const stream = newStream();
    await draw(stream, 0, 3);
    let calls = 0;
    const { records } = await follow(
      store,
      {
        reconnected: async () => {
          calls++;
        },
      },
      ({ records }) => {
        if (records.length === 3 && calls === 0) {
          server.cut();
          void draw(stream, 3, 3);
        }
        return records.length >= 6;
      },
    );
    expect(numbersOf(records)).toEqual(numbers(6));
    expect(calls).toBeGreaterThan(0);
  });

  it('ends with what `reconnected` throws, and delivers nothing after that', async () => {
    const stream = newStream();
    await draw(stream, 0, 3);
    let seen = 0;
    const different = new Error('another log, as the test wants it');
    const following = follow(store, { reconnected: () => Promise.reject(different) }, ({ records }) => {
      if (records.length === 3) server.cut();
      seen = records.length;
      return false;
    });
    await expect(following).rejects.toBe(different);
    expect(seen).toBe(3);
  });

  it('reconnects again while `reconnected` throws `UNAVAILABLE`', async () => {
    const stream = newStream();
    await draw(stream, 0, 3);
    let failures = 0;
    const reconnected = async (): Promise<void> => {
      if (failures++ < 3) throw new StoreError('UNAVAILABLE', 'as the test wants it');
    };
    const { records } = await follow(store, { reconnected }, ({ records }) => {
      if (records.length === 3 && failures === 0) {
        server.cut();
        void draw(stream, 3, 3);
      }
      return records.length >= 6;
    });
    expect(numbersOf(records)).toEqual(numbers(6));
    expect(failures).toBeGreaterThan(3);
  });
});

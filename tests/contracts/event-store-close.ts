import { describe, expect, it } from 'vitest';
import type { EventStore } from '../../src/ports/event-store.ts';
import type { OpenedEventStore } from './event-store.ts';
import { newStream, note } from './events.ts';
import { readAll, readStream, subscribe } from './following.ts';

/** Closing, tested on separate stores. */
export function closeContract(open: () => Promise<OpenedEventStore>): void {
  describe('after `close`', () => {
    const calls: Record<string, (store: EventStore) => Promise<unknown>> = {
      append: (store) => store.append(newStream(), [note('a')], { expect: 'any' }),
      readStream: (store) => readStream(store, newStream()),
      readAll: (store) => readAll(store),
      setRetention: (store) => store.setRetention(newStream(), {}),
      head: (store) => store.head(),
      idAt: async (store) => store.idAt('0'),
      countAfter: (store) => store.countAfter(null),
      epoch: (store) => store.epoch(),
      subscribe: (store) => readOne(store),
    };

    it('every call is rejected with CLOSED, and `close` may be called again', async () => {
      const { store, dispose } = await open();
      await Promise.all([store.close(), store.close()]);
      for (const call of Object.values(calls)) {
        await expect(call(store)).rejects.toMatchObject({ name: 'StoreError', code: 'CLOSED' });
      }
      await dispose();
    });

    it('a waiting subscription ends with CLOSED', async () => {
      const { store, dispose } = await open();
      const reading = (async () => {
        for await (const batch of subscribe(store, { after: await store.head() })) {
          if (batch.caughtUp) setImmediate(() => void store.close());
        }
      })();
      await expect(reading).rejects.toMatchObject({ code: 'CLOSED' });
      await dispose();
    });

    it('appends that were in progress are resolved', async () => {
      const { store, dispose } = await open();
      const stream = newStream();
      const appends = Array.from({ length: 20 }, () => store.append(stream, [note('a')], { expect: 'any' }));
      await store.close();
      const revisions = (await Promise.all(appends)).map(({ revision }) => Number(revision));
      expect(revisions.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n));
      await dispose();
    });
  });
}

async function readOne(store: EventStore): Promise<unknown> {
  for await (const batch of subscribe(store)) return batch;
  return null;
}

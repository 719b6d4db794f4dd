import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { EventStore, ReadStreamOptions } from '../../src/ports/event-store.ts';
import { asOlderProgram, newEvent, newStream, note, notes } from './events.ts';

/** Reading one stream, and the form in which events come back. */
export function readStreamContract(store: () => EventStore): void {
  const revisions = async (stream: string, options?: ReadStreamOptions) => {
    const { events, end } = await store().readStream(stream, options);
    return { revisions: events.map((event) => Number(event.revision)), end };
  };

  describe('what was written comes back', () => {
    it('an event has its whole envelope', async () => {
      const stream = newStream();
      const metadata = {
        actor: '0123456789abcdef01234567',
        correlationId: randomUUID(),
        causationId: randomUUID(),
        commandId: randomUUID(),
      };
      const event = newEvent('NoteTaken', { text: 'a' }, metadata);
      const { position } = await store().append(stream, [event], { expect: 'none' });
      const { events } = await store().readStream(stream);
      const recordedAt = events[0]?.recordedAt;
      expect(events).toStrictEqual([
        {
          type: 'NoteTaken',
          data: { text: 'a' },
          id: event.id,
          schemaVersion: 1,
          stream,
          revision: 0n,
          position,
          recordedAt,
          metadata,
        },
      ]);
    });

    it('`recordedAt` is the time of the append, ISO 8601 UTC with milliseconds', async () => {
      const stream = newStream();
      await store().append(stream, [note('a')], { expect: 'none' });
      const recordedAt = (await store().readStream(stream)).events[0]?.recordedAt ?? '';
      expect(recordedAt).toBe(new Date(recordedAt).toISOString());
      // Clocks of two machines differ a little.
      expect(Math.abs(Date.parse(recordedAt) - Date.now())).toBeLessThan(60_000);
    });

    it('data of every JSON form comes back as it was', async () => {
      const stream = newStream();
      const data = {
        text: 'Grüße, 你好, שלום, 👩‍👩‍👧‍👦, \u0000, \u2028, "quoted" \\ and a lone \ud83d half',
        empty: { object: {}, array: [], text: '' },
        nested: { a: [{ b: [[1, 2], [null]] }, true, false] },
        numbers: [0, -1, 1.5, 1e21, -2.5e-7, Number.MAX_SAFE_INTEGER, 0.1],
        nothing: null,
        'a key with "quotes" and ünicode': 1,
      };
      await store().append(stream, [newEvent('NoteTaken', data)], { expect: 'none' });
      expect((await store().readStream(stream)).events[0]?.data).toStrictEqual(data);
    });

    it('a large event comes back as it was', async () => {
      const stream = newStream();
      const text = 'äöü 0123456789 '.repeat(55_000);
      await store().append(stream, [note(text), note('behind it')], { expect: 'none' });
      const { events } = await readWhole(stream);
      expect(events.map((event) => event.data.text === text)).toEqual([true, false]);
    });

    it('data of an older version is brought up to date', async () => {
      const stream = newStream();
      const old = newEvent('AddressGiven', { line: 'Main Street 1, Springfield' });
      await asOlderProgram(() => store().append(stream, [old], { expect: 'none' }));
      const current = { street: 'Side Street 2', city: 'Shelbyville', country: 'US' };
      await store().append(stream, [newEvent('AddressGiven', current)], { expect: 0n });
      const { events } = await store().readStream(stream);
      expect(events.map(({ data, schemaVersion }) => ({ data, schemaVersion }))).toEqual([
        { data: { street: 'Main Street 1', city: 'Springfield', country: 'unknown' }, schemaVersion: 3 },
        { data: current, schemaVersion: 3 },
      ]);
    });

    it('a stream may have any name of text', async () => {
      const stream = `${newStream()}-with-ünicode 🙂 'quotes' and %_`;
      await store().append(stream, [note('a')], { expect: 'none' });
      expect((await store().readStream(stream)).events.map((event) => event.stream)).toEqual([stream]);
    });
  });

  describe('a part of a stream', () => {
    it('a stream that does not exist reads as empty', async () => {
      expect(await store().readStream(newStream())).toEqual({ events: [], end: true });
      expect(await store().readStream(newStream(), { direction: 'backwards' })).toEqual({ events: [], end: true });
    });

    it('a stream shows its own events only', async () => {
      const [a, b] = [newStream(), newStream()];
      await Promise.all([
        store().append(a, notes(2, 'of a'), { expect: 'none' }),
        store().append(b, notes(2, 'of b'), { expect: 'none' }),
      ]);
      const { events } = await store().readStream(a);
      expect(events.map((event) => event.data.text)).toEqual(['of a 0', 'of a 1']);
    });

    it('forwards: from a revision on, up to a limit', async () => {
      const stream = newStream();
      await store().append(stream, notes(10), { expect: 'none' });
      expect(await revisions(stream)).toEqual({ revisions: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], end: true });
      expect(await revisions(stream, { from: 7n })).toEqual({ revisions: [7, 8, 9], end: true });
      expect(await revisions(stream, { limit: 3 })).toEqual({ revisions: [0, 1, 2], end: false });
      expect(await revisions(stream, { from: 4n, limit: 3 })).toEqual({ revisions: [4, 5, 6], end: false });
      expect(await revisions(stream, { from: 10n })).toEqual({ revisions: [], end: true });
    });

    it('backwards: from the last or a given revision, up to a limit', async () => {
      const stream = newStream();
      await store().append(stream, notes(6), { expect: 'none' });
      expect(await revisions(stream, { direction: 'backwards' })).toEqual({ revisions: [5, 4, 3, 2, 1, 0], end: true });
      expect(await revisions(stream, { direction: 'backwards', limit: 1 })).toEqual({ revisions: [5], end: false });
      expect(await revisions(stream, { direction: 'backwards', from: 2n })).toEqual({
        revisions: [2, 1, 0],
        end: true,
      });
      expect(await revisions(stream, { direction: 'backwards', from: 4n, limit: 2 })).toEqual({
        revisions: [4, 3],
        end: false,
      });
    });

    it('`end` is set when the limit takes just what is left', async () => {
      const stream = newStream();
      await store().append(stream, notes(4), { expect: 'none' });
      expect(await revisions(stream, { from: 1n, limit: 3 })).toEqual({ revisions: [1, 2, 3], end: true });
      expect(await revisions(stream, { direction: 'backwards', from: 2n, limit: 3 })).toEqual({
        revisions: [2, 1, 0],
        end: true,
      });
    });

    it('512 events come at most when no limit is given', async () => {
      const stream = newStream();
      await store().append(stream, notes(600), { expect: 'none' });
      const { events, end } = await store().readStream(stream);
      expect({ count: events.length, end }).toEqual({ count: 512, end: false });
      expect((await readWhole(stream)).events).toHaveLength(600);
    });

    it('an append is visible to reads as soon as it was answered', async () => {
      const stream = newStream();
      for (let n = 0; n < 10; n++) {
        const { revision } = await store().append(stream, [note(String(n))], { expect: 'any' });
        expect(await revisions(stream, { direction: 'backwards', limit: 1 })).toMatchObject({
          revisions: [Number(revision)],
        });
      }
    });

    it.each([{ limit: 0 }, { limit: 4_097 }, { limit: 1.5 }, { from: -1n }])('%o is invalid', async (options) => {
      await expect(store().readStream(newStream(), options)).rejects.toMatchObject({ code: 'INVALID' });
    });
  });

  /** All events of a stream, slice by slice. */
  async function readWhole(stream: string) {
    const events = [];
    for (;;) {
      const slice = await store().readStream(stream, { from: BigInt(events.length) });
      events.push(...slice.events);
      if (slice.end) return { events };
      if (slice.events.length === 0) throw new Error('an empty slice is at the end');
    }
  }
}

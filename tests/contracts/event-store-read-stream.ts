import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { EventStore, ReadStreamOptions, StoredRecord } from '../../src/ports/event-store.ts';
import { dataOf, newRecord, newStream, note, notes, textsOf, withSource } from './events.ts';
import { readStream } from './following.ts';

/** JSON texts of objects; most of them would change when parsed and serialized. */
const texts = {
  'unusual whitespace': ' \n\t{ "a" :\r\n[ 1 ,\t2 ] , "b":{ } } \r\n ',
  unicode: '{"text":"Grüße, 你好, שלום, 👩‍👩‍👧‍👦, \u2028\u2029\u0085\u007f\ufeff\ufffd\uffff","ключ":"é e\u0301"}',
  'NUL escapes': '{"\\u0000":"\\u0000 a\\u0000b","c":"\\\\u0000"}',
  'other escapes': '{"a":"\\/ \\u0041 \\uD83D half, \\ud83d\\udc69 \\b\\f\\n\\r\\t \\"quoted\\" \\\\"}',
  'unusual numbers': '{"n":[0.10,-0,1E+2,1e21,-2.5e-7,9007199254740993,123456789012345678901234567890,1e999]}',
  'duplicate and special keys': '{"a":1,"a":2,"2":0,"1":0,"__proto__":{"x":1},"":null}',
  'an empty object': '{}',
} as const;

/** Reads of one stream, and the form in which records are returned. */
export function readStreamContract(store: () => EventStore): void {
  const read = (stream: string, options?: Partial<ReadStreamOptions>) => readStream(store(), stream, options);
  const revisions = async (stream: string, options?: Partial<ReadStreamOptions>) => {
    const { records, end } = await read(stream, options);
    return { revisions: records.map((record) => Number(record.revision)), end };
  };

  describe('a record', () => {
    it('is returned with everything that was appended except `source`', async () => {
      const stream = newStream();
      const metadata = {
        actor: '0123456789abcdef01234567',
        correlationId: randomUUID(),
        causationId: randomUUID(),
        commandId: randomUUID(),
      };
      const record = { ...newRecord('AnyType', { text: 'a' }, metadata), schemaVersion: 12 };
      const { position } = await store().append(stream, [withSource(record)], { expect: 'none' });
      const { records } = await read(stream);
      const recordedAt = records[0]?.recordedAt;
      expect(records).toStrictEqual([
        {
          type: 'AnyType',
          data: '{"text":"a"}',
          id: record.id,
          schemaVersion: 12,
          stream,
          revision: 0n,
          position,
          recordedAt,
          metadata,
        },
      ]);
    });

    it('has as `recordedAt` the time of the append, ISO 8601 UTC with milliseconds', async () => {
      const stream = newStream();
      await store().append(stream, [note('a')], { expect: 'none' });
      const recordedAt = (await read(stream)).records[0]?.recordedAt ?? '';
      expect(recordedAt).toBe(new Date(recordedAt).toISOString());
      // The clock of a server differs a little.
      expect(Math.abs(Date.parse(recordedAt) - Date.now())).toBeLessThan(60_000);
    });

    it.each(Object.entries(texts))('is returned with its data byte for byte: %s', async (_name, data) => {
      const stream = newStream();
      await store().append(stream, [{ ...note(''), data }], { expect: 'none' });
      const [record] = (await read(stream)).records;
      expect(record?.data).toBe(data);
    });

    it('is returned with its data byte for byte: any JSON', { timeout: 60_000 }, async () => {
      const value = fc.jsonValue({ stringUnit: 'binary' });
      const text = fc
        .tuple(value, fc.constantFrom('', ' ', '\t'))
        .map(([v, indent]) => JSON.stringify({ v }, null, indent));
      await fc.assert(
        fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 30 }), async (all) => {
          const stream = newStream();
          const appended = all.map((data) => ({ ...note(''), data }));
          await store().append(stream, appended, { expect: 'none' });
          expect((await read(stream)).records.map((record) => record.data)).toEqual(all);
        }),
        { numRuns: 20 },
      );
    });

    it('can be large', async () => {
      const stream = newStream();
      const text = 'äöü 0123456789 '.repeat(55_000);
      await store().append(stream, [note(text), note('after it')], { expect: 'none' });
      const records = await readWhole(stream);
      expect(records.map((record) => dataOf(record).text === text)).toEqual([true, false]);
    });

    it.each([`with ünicode 🙂 'quotes' and %_`, 'ü'.repeat(150)])(
      'can be in a stream of any name: %s',
      async (suffix) => {
        const stream = `${newStream()}-${suffix}`;
        await store().append(stream, [note('a')], { expect: 'none' });
        expect((await read(stream)).records.map((record) => record.stream)).toEqual([stream]);
      },
    );
  });

  describe('a read of a stream', () => {
    it('returns nothing for a stream that does not exist', async () => {
      expect(await read(newStream())).toEqual({ records: [], end: true });
      expect(await read(newStream(), { direction: 'backwards' })).toEqual({ records: [], end: true });
    });

    it('returns only records of this stream', async () => {
      const [a, b] = [newStream(), newStream()];
      await Promise.all([
        store().append(a, notes(2, 'of a'), { expect: 'none' }),
        store().append(b, notes(2, 'of b'), { expect: 'none' }),
      ]);
      expect(textsOf((await read(a)).records)).toEqual(['of a 0', 'of a 1']);
    });

    it('starts forwards at the first or a given revision, up to a limit', async () => {
      const stream = newStream();
      await store().append(stream, notes(10), { expect: 'none' });
      expect(await revisions(stream)).toEqual({ revisions: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], end: true });
      expect(await revisions(stream, { from: 7n })).toEqual({ revisions: [7, 8, 9], end: true });
      expect(await revisions(stream, { limit: 3 })).toEqual({ revisions: [0, 1, 2], end: false });
      expect(await revisions(stream, { from: 4n, limit: 3 })).toEqual({ revisions: [4, 5, 6], end: false });
      expect(await revisions(stream, { from: 10n })).toEqual({ revisions: [], end: true });
    });

    it('starts backwards at the last or a given revision, up to a limit', async () => {
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

    it('has `end` when exactly `limit` records are left', async () => {
      const stream = newStream();
      await store().append(stream, notes(4), { expect: 'none' });
      expect(await revisions(stream, { from: 1n, limit: 3 })).toEqual({ revisions: [1, 2, 3], end: true });
      expect(await revisions(stream, { direction: 'backwards', from: 2n, limit: 3 })).toEqual({
        revisions: [2, 1, 0],
        end: true,
      });
    });

    it('returns at most `limit` records, which the following slices continue', async () => {
      const stream = newStream();
      await store().append(stream, notes(600), { expect: 'none' });
      const { records, end } = await read(stream, { limit: 512 });
      expect({ count: records.length, end }).toEqual({ count: 512, end: false });
      expect(await readWhole(stream)).toHaveLength(600);
    });

    it('includes every append that was resolved', async () => {
      const stream = newStream();
      for (let n = 0; n < 10; n++) {
        const { revision } = await store().append(stream, [note(String(n))], { expect: 'any' });
        expect(await revisions(stream, { direction: 'backwards', limit: 1 })).toMatchObject({
          revisions: [Number(revision)],
        });
      }
    });
  });

  /** All records of a stream, slice by slice. */
  async function readWhole(stream: string): Promise<StoredRecord[]> {
    const records: StoredRecord[] = [];
    for (;;) {
      const slice = await read(stream, { from: BigInt(records.length) });
      records.push(...slice.records);
      if (slice.end) return records;
      if (slice.records.length === 0) throw new Error('an empty slice must have `end`');
    }
  }
}
